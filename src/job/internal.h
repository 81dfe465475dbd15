/* Functions shared by the files of job. */
#ifndef LOCKSTEP_JOB_INTERNAL_H
#define LOCKSTEP_JOB_INTERNAL_H

#include "lockstep/job.h"

/* Local. Reads the list `metrics:` into job->measures, once the loss and `data:` are known; collects
 * errors.
 */
void job_read_measures(ls_job *job);

/* Local. Collects an error for each K that is not below the number of classes (0: unknown). */
void job_check_measures(ls_job *job, size_t n_classes);

/* Local. Whether larger values are better. */
bool job_measure_is_maximized(const ls_measure *measure);

/* Local. The width of the model's output, known before its input is: that of the last layer with units of
 * its own. 0: it is as wide as the input. */
size_t job_output_width(const ls_model *model);

/* Local. Collects errors of train.class_weight; the model is parsed. */
void job_check_class_weight(ls_job *job);

/* Collective. The weights of classes in training, owned by the caller; NULL if all are 1. LS_ERR_CONFIG if
 * they do not fit the data. */
ls_status job_class_weights(ls_comm *comm, const ls_job *job, const ls_view *view, double **out);

#endif
