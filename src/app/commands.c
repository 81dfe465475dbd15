/* The list of subcommands, and the texts that --help and the manual share. */
#include "internal.h"

const command *const app_commands[] = {&app_init,    &app_train,     &app_check,   &app_evaluate,
                                       &app_predict, &app_explain,   &app_export,  &app_import,
                                       &app_info,    &app_gradcheck, &app_lr_find, &app_plan,
                                       &app_report,  &app_sweep,     &app_keys,    NULL};

const char app_purpose[] = "distributed data-parallel training of neural networks (MPI)";

const char app_exit_codes[] =
    "0 done, 2 usage or config, 3 data, 4 no usable model or checkpoint, 5 output cannot\n"
    "be written, 6 numeric (NaN, divergence), 70 internal error, 75 stopped after saving (the message\n"
    "has the command that resumes)";
