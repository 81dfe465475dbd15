/* Functions shared by the files of job. */
#ifndef LOCKSTEP_JOB_INTERNAL_H
#define LOCKSTEP_JOB_INTERNAL_H

#include "lockstep/job.h"

/* Local. Reads the list `metrics:` into job->measures, once the loss and `data:` are known; collects
 * errors.
 */
void job_read_measures(ls_job *job);

/* Local. Collects an error for each K that is not below the number of classes. */
void job_check_measures(ls_job *job, size_t n_classes);

/* Local. Whether larger values are better. */
bool job_measure_is_maximized(const ls_measure *measure);

/* Local. Collects errors of train.class_weight that do not depend on the model. */
void job_check_class_weight(ls_job *job);

/* Local. Collects an error if train.class_weight does not fit a model with n_out outputs. */
void job_check_class_count(ls_job *job, size_t n_out);

/* Collective. The weights of classes in training, owned by the caller; NULL if all are 1. */
ls_status job_class_weights(ls_comm *comm, const ls_job *job, const ls_view *view, double **out);

#endif
