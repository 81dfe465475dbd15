! Calls the Fortran module with arrays in both orders: arrays MODEL. Prints the task and the shape of a sample; stops with an
! error if results differ.
program arrays
  use, intrinsic :: iso_fortran_env, only: real32, real64
  use lockstep_infer
  implicit none
  integer, parameter :: n = 5
  type(infer_model) :: model
  type(infer_workspace) :: workspace
  real(real32), allocatable :: x(:, :), y(:, :), z(:, :)
  real(real64), allocatable :: x64(:, :), y64(:, :), z64(:, :)
  character(len=1024) :: path
  integer :: i, code

  call get_command_argument(1, path)
  do i = 1, 2 ! opening again closes the first model
    call infer_open(model, path)
    call infer_workspace_create(model, workspace, n)
  end do
  allocate (x(infer_inputs(model), n), y(infer_outputs(model), n), z(n, infer_outputs(model)))
  do i = 1, n
    x(:, i) = [(real(7 * i + code, real32), code=1, size(x, 1))]
  end do
  call infer_run(model, workspace, x, y)
  call infer_run(model, workspace, transpose(x), z, samples_first=.true.)
  if (any(transpose(z) /= y)) error stop 'real32: results differ'
  x64 = real(x, real64) + 0.1_real64
  allocate (y64(size(y, 1), n), z64(n, size(y, 1)))
  call infer_run(model, workspace, x64, y64, samples_first=.false.)
  call infer_run(model, workspace, transpose(x64), z64, samples_first=.true.)
  if (any(transpose(z64) /= y64) .or. all(y64(:, 1) == y64(:, 2))) error stop 'real64: results differ'
  call infer_run(model, workspace, x, y, code, samples_first=.true.)
  if (code /= infer_argument) error stop 'arrays in the wrong order must be refused'
  print '(*(i0, 1x))', infer_task(model), infer_shape(model)
  call infer_workspace_destroy(workspace)
  call infer_close(model)
end program arrays
