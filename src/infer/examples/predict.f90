! Predicts samples with a model of Lockstep: reads their values as text, and prints a line of outputs for each.
!
!   gfortran $(pkg-config --variable=fortran lockstep-infer) predict.f90 -o predict $(pkg-config --libs lockstep-infer)
!   ./predict model.h5 < samples.txt
program predict
  use, intrinsic :: iso_fortran_env, only: input_unit, real32
  use lockstep_infer
  implicit none
  type(infer_model) :: model
  type(infer_workspace) :: workspace
  real(real32), allocatable :: x(:, :), y(:, :)
  character(len=1024) :: path
  integer :: code

  call get_command_argument(1, path)
  call infer_open(model, path)
  call infer_workspace_create(model, workspace, 1)
  allocate (x(infer_inputs(model), 1), y(infer_outputs(model), 1))
  do
    read (input_unit, *, iostat=code) x
    if (is_iostat_end(code)) exit
    if (code /= 0) error stop 'predict: the input is not a list of numbers'
    call infer_run(model, workspace, x, y)
    print '(*(g0.9, 1x))', y
  end do
  call infer_workspace_destroy(workspace)
  call infer_close(model)
end program predict
