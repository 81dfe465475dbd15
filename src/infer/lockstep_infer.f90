! Predictions with models of Lockstep in Fortran programs: an interface to lockstep/infer.h, whose comments
! describe the rules. Compile this file with the program, since module files differ between compilers:
!
!   gfortran $(pkg-config --variable=fortran lockstep-infer) program.f90 $(pkg-config --libs lockstep-infer)
!
! A program opens a model once and creates a workspace for each thread. `status` is 0 or a code below; without
! the argument `status`, an error ends the program with its message.
module lockstep_infer
  use, intrinsic :: iso_c_binding
  use, intrinsic :: iso_fortran_env, only: error_unit, real32, real64
  implicit none
  private

  public :: infer_open, infer_open_memory, infer_close, infer_inputs, infer_outputs, infer_shape, infer_task
  public :: infer_class_count, infer_class_name, infer_feature_count, infer_feature_name
  public :: infer_workspace_create, infer_workspace_destroy, infer_run, infer_message

  integer, parameter, public :: infer_ok = 0
  integer, parameter, public :: infer_argument = 2
  integer, parameter, public :: infer_data = 3
  integer, parameter, public :: infer_bad_model = 4
  integer, parameter, public :: infer_memory = 70

  ! What the outputs are, by infer_task.
  integer, parameter, public :: infer_classes = 0
  integer, parameter, public :: infer_labels = 1
  integer, parameter, public :: infer_values = 2

  type, public :: infer_model
    private
    type(c_ptr) :: handle = c_null_ptr
  end type infer_model

  type, public :: infer_workspace
    private
    type(c_ptr) :: handle = c_null_ptr
  end type infer_workspace

  type, bind(c) :: strides
    integer(c_size_t) :: row, column
  end type strides

  ! call infer_run(model, workspace, x, y, status, samples_first): predicts samples.
  !   x: (inputs, samples), y: (outputs, samples), both real32 or both real64. With samples_first=.true.,
  !   x: (samples, inputs), y: (samples, outputs)
  interface infer_run
    module procedure run_real32, run_real64
  end interface infer_run

  interface
    function c_open(path, model, message, size) bind(c, name='ls_infer_open') result(code)
      import :: c_char, c_int, c_ptr, c_size_t
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), intent(out) :: model
      character(kind=c_char), intent(out) :: message(*)
      integer(c_size_t), value :: size
      integer(c_int) :: code
    end function c_open

    function c_open_memory(bytes, n, model, message, size) bind(c, name='ls_infer_open_memory') result(code)
      import :: c_char, c_int, c_int8_t, c_ptr, c_size_t
      integer(c_int8_t), intent(in) :: bytes(*)
      integer(c_size_t), value :: n
      type(c_ptr), intent(out) :: model
      character(kind=c_char), intent(out) :: message(*)
      integer(c_size_t), value :: size
      integer(c_int) :: code
    end function c_open_memory

    subroutine c_close(model) bind(c, name='ls_infer_close')
      import :: c_ptr
      type(c_ptr), intent(inout) :: model
    end subroutine c_close

    pure function c_inputs(model) bind(c, name='ls_infer_inputs') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: model
      integer(c_size_t) :: n
    end function c_inputs

    pure function c_outputs(model) bind(c, name='ls_infer_outputs') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: model
      integer(c_size_t) :: n
    end function c_outputs

    function c_shape(model, dims) bind(c, name='ls_infer_shape') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: model
      integer(c_size_t), intent(out) :: dims(4)
      integer(c_size_t) :: n
    end function c_shape

    pure function c_task(model) bind(c, name='ls_infer_task_of') result(task)
      import :: c_int, c_ptr
      type(c_ptr), value, intent(in) :: model
      integer(c_int) :: task
    end function c_task

    pure function c_class_count(model) bind(c, name='ls_infer_class_count') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: model
      integer(c_size_t) :: n
    end function c_class_count

    pure function c_feature_count(model) bind(c, name='ls_infer_feature_count') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: model
      integer(c_size_t) :: n
    end function c_feature_count

    function c_class_name(model, k) bind(c, name='ls_infer_class_name') result(text)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: model
      integer(c_size_t), value :: k
      type(c_ptr) :: text
    end function c_class_name

    function c_feature_name(model, k) bind(c, name='ls_infer_feature_name') result(text)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: model
      integer(c_size_t), value :: k
      type(c_ptr) :: text
    end function c_feature_name

    function c_workspace_create(model, max_rows, workspace) bind(c, name='ls_infer_workspace_create') result(code)
      import :: c_int, c_ptr, c_size_t
      type(c_ptr), value :: model
      integer(c_size_t), value :: max_rows
      type(c_ptr), intent(out) :: workspace
      integer(c_int) :: code
    end function c_workspace_create

    subroutine c_workspace_destroy(workspace) bind(c, name='ls_infer_workspace_destroy')
      import :: c_ptr
      type(c_ptr), intent(inout) :: workspace
    end subroutine c_workspace_destroy

    function c_run(model, workspace, rows, x, x_strides, y, y_strides) bind(c, name='ls_infer_run_strided') result(code)
      import :: c_float, c_int, c_ptr, c_size_t, strides
      type(c_ptr), value :: model, workspace
      integer(c_size_t), value :: rows
      type(strides), value :: x_strides, y_strides
      real(c_float), intent(in) :: x(*)
      real(c_float), intent(out) :: y(*)
      integer(c_int) :: code
    end function c_run

    function c_run_f64(model, workspace, rows, x, x_strides, y, y_strides) bind(c, name='ls_infer_run_strided_f64') result(code)
      import :: c_double, c_int, c_ptr, c_size_t, strides
      type(c_ptr), value :: model, workspace
      integer(c_size_t), value :: rows
      type(strides), value :: x_strides, y_strides
      real(c_double), intent(in) :: x(*)
      real(c_double), intent(out) :: y(*)
      integer(c_int) :: code
    end function c_run_f64

    function c_message(workspace) bind(c, name='ls_infer_message') result(text)
      import :: c_ptr
      type(c_ptr), value :: workspace
      type(c_ptr) :: text
    end function c_message

    function c_describe(code) bind(c, name='ls_infer_describe') result(text)
      import :: c_int, c_ptr
      integer(c_int), value :: code
      type(c_ptr) :: text
    end function c_describe

    pure function c_length(text) bind(c, name='strlen') result(n)
      import :: c_ptr, c_size_t
      type(c_ptr), value, intent(in) :: text
      integer(c_size_t) :: n
    end function c_length
  end interface

contains

  ! A copy of a text of C; empty if there is none.
  function text_of(pointer) result(text)
    type(c_ptr), intent(in) :: pointer
    character(len=:), allocatable :: text
    character(kind=c_char), pointer :: characters(:)
    integer :: i
    text = ''
    if (.not. c_associated(pointer)) return
    call c_f_pointer(pointer, characters, [c_length(pointer)])
    text = repeat(' ', size(characters))
    do i = 1, size(characters)
      text(i:i) = characters(i)
    end do
  end function text_of

  ! Returns a code and its message, or ends the program if the caller does not ask for the code.
  subroutine finish(code, reason, status, message)
    integer(c_int), intent(in) :: code
    character(len=*), intent(in) :: reason
    integer, intent(out), optional :: status
    character(len=*), intent(inout), optional :: message
    if (present(message)) message = reason
    if (present(status)) then
      status = int(code)
    else if (code /= infer_ok) then
      write (error_unit, '(a)') 'lockstep_infer: '//reason
      error stop 1
    end if
  end subroutine finish

  ! Opens a model file. `message` gives the reason of a failure.
  subroutine infer_open(model, path, status, message)
    type(infer_model), intent(inout) :: model
    character(len=*), intent(in) :: path
    integer, intent(out), optional :: status
    character(len=*), intent(inout), optional :: message
    character(kind=c_char), target :: reason(1024)
    integer(c_int) :: code
    call c_close(model%handle)
    code = c_open(trim(path)//c_null_char, model%handle, reason, size(reason, kind=c_size_t))
    call finish(code, text_of(c_loc(reason)), status, message)
  end subroutine infer_open

  ! The same from the bytes of a model file.
  subroutine infer_open_memory(model, bytes, status, message)
    type(infer_model), intent(inout) :: model
    integer(c_int8_t), intent(in), contiguous :: bytes(:)
    integer, intent(out), optional :: status
    character(len=*), intent(inout), optional :: message
    character(kind=c_char), target :: reason(1024)
    integer(c_int) :: code
    call c_close(model%handle)
    code = c_open_memory(bytes, size(bytes, kind=c_size_t), model%handle, reason, size(reason, kind=c_size_t))
    call finish(code, text_of(c_loc(reason)), status, message)
  end subroutine infer_open_memory

  subroutine infer_close(model)
    type(infer_model), intent(inout) :: model
    call c_close(model%handle)
  end subroutine infer_close

  ! The numbers of values per sample of x and of y.
  pure integer function infer_inputs(model)
    type(infer_model), intent(in) :: model
    infer_inputs = int(c_inputs(model%handle))
  end function infer_inputs

  pure integer function infer_outputs(model)
    type(infer_model), intent(in) :: model
    infer_outputs = int(c_outputs(model%handle))
  end function infer_outputs

  ! The shape of a sample in the order of Fortran: the first dim is contiguous.
  function infer_shape(model) result(dims)
    type(infer_model), intent(in) :: model
    integer, allocatable :: dims(:)
    integer(c_size_t) :: c_dims(4)
    integer :: n
    n = int(c_shape(model%handle, c_dims))
    dims = int(c_dims(n:1:-1))
  end function infer_shape

  ! infer_classes, infer_labels or infer_values.
  pure integer function infer_task(model)
    type(infer_model), intent(in) :: model
    infer_task = int(c_task(model%handle))
  end function infer_task

  pure integer function infer_class_count(model)
    type(infer_model), intent(in) :: model
    infer_class_count = int(c_class_count(model%handle))
  end function infer_class_count

  pure integer function infer_feature_count(model)
    type(infer_model), intent(in) :: model
    infer_feature_count = int(c_feature_count(model%handle))
  end function infer_feature_count

  ! The name of class or feature k, from 1; empty if there is none.
  function infer_class_name(model, k) result(text)
    type(infer_model), intent(in) :: model
    integer, intent(in) :: k
    character(len=:), allocatable :: text
    text = text_of(c_class_name(model%handle, int(k - 1, c_size_t)))
  end function infer_class_name

  function infer_feature_name(model, k) result(text)
    type(infer_model), intent(in) :: model
    integer, intent(in) :: k
    character(len=:), allocatable :: text
    text = text_of(c_feature_name(model%handle, int(k - 1, c_size_t)))
  end function infer_feature_name

  subroutine infer_workspace_create(model, workspace, max_rows, status)
    type(infer_model), intent(in) :: model
    type(infer_workspace), intent(inout) :: workspace
    integer, intent(in) :: max_rows
    integer, intent(out), optional :: status
    integer(c_int) :: code
    call c_workspace_destroy(workspace%handle)
    code = c_workspace_create(model%handle, int(max(max_rows, 0), c_size_t), workspace%handle)
    call finish(code, text_of(c_describe(code)), status)
  end subroutine infer_workspace_create

  subroutine infer_workspace_destroy(workspace)
    type(infer_workspace), intent(inout) :: workspace
    call c_workspace_destroy(workspace%handle)
  end subroutine infer_workspace_destroy

  ! The reason why the latest call with this workspace failed.
  function infer_message(workspace) result(text)
    type(infer_workspace), intent(in) :: workspace
    character(len=:), allocatable :: text
    text = text_of(c_message(workspace%handle))
  end function infer_message

  ! The dim of arrays that counts samples; the other one counts values.
  pure integer function dim_of_samples(samples_first)
    logical, intent(in), optional :: samples_first
    dim_of_samples = 2
    if (.not. present(samples_first)) return
    if (samples_first) dim_of_samples = 1
  end function dim_of_samples

  ! Whether arrays of these shapes fit the model.
  pure logical function fits(model, samples, x_shape, y_shape)
    type(infer_model), intent(in) :: model
    integer, intent(in) :: samples, x_shape(2), y_shape(2)
    fits = x_shape(3 - samples) == infer_inputs(model) .and. y_shape(3 - samples) == infer_outputs(model) &
           .and. x_shape(samples) == y_shape(samples)
  end function fits

  ! The distances between samples and between values of an array.
  pure type(strides) function strides_of(samples, array_shape)
    integer, intent(in) :: samples, array_shape(2)
    strides_of = strides(1_c_size_t, int(array_shape(1), c_size_t))
    if (samples == 2) strides_of = strides(int(array_shape(1), c_size_t), 1_c_size_t)
  end function strides_of

  subroutine fail_shape(samples, status)
    integer, intent(in) :: samples
    integer, intent(out), optional :: status
    if (samples == 2) then
      call finish(int(infer_argument, c_int), 'x must have the shape (inputs, samples), y (outputs, samples)', status)
    else
      call finish(int(infer_argument, c_int), 'x must have the shape (samples, inputs), y (samples, outputs)', status)
    end if
  end subroutine fail_shape

  ! A call that succeeds allocates no text.
  subroutine finish_run(workspace, code, status)
    type(infer_workspace), intent(in) :: workspace
    integer(c_int), intent(in) :: code
    integer, intent(out), optional :: status
    if (code /= infer_ok) then
      call finish(code, text_of(c_message(workspace%handle)), status)
    else if (present(status)) then
      status = infer_ok
    end if
  end subroutine finish_run

  subroutine run_real32(model, workspace, x, y, status, samples_first)
    type(infer_model), intent(in) :: model
    type(infer_workspace), intent(in) :: workspace
    real(real32), intent(in), contiguous :: x(:, :)
    real(real32), intent(out), contiguous :: y(:, :)
    integer, intent(out), optional :: status
    logical, intent(in), optional :: samples_first
    integer :: samples
    integer(c_int) :: code
    samples = dim_of_samples(samples_first)
    if (fits(model, samples, shape(x), shape(y))) then
      code = c_run(model%handle, workspace%handle, size(x, samples, kind=c_size_t), x, strides_of(samples, shape(x)), &
                   y, strides_of(samples, shape(y)))
      call finish_run(workspace, code, status)
    else
      call fail_shape(samples, status)
    end if
  end subroutine run_real32

  subroutine run_real64(model, workspace, x, y, status, samples_first)
    type(infer_model), intent(in) :: model
    type(infer_workspace), intent(in) :: workspace
    real(real64), intent(in), contiguous :: x(:, :)
    real(real64), intent(out), contiguous :: y(:, :)
    integer, intent(out), optional :: status
    logical, intent(in), optional :: samples_first
    integer :: samples
    integer(c_int) :: code
    samples = dim_of_samples(samples_first)
    if (fits(model, samples, shape(x), shape(y))) then
      code = c_run_f64(model%handle, workspace%handle, size(x, samples, kind=c_size_t), x, strides_of(samples, shape(x)), &
                   y, strides_of(samples, shape(y)))
      call finish_run(workspace, code, status)
    else
      call fail_shape(samples, status)
    end if
  end subroutine run_real64

end module lockstep_infer
