/* Functions shared by the files of job. */
#ifndef LOCKSTEP_JOB_INTERNAL_H
#define LOCKSTEP_JOB_INTERNAL_H

#include "lockstep/job.h"

/* Local. Reads train.tensorboard: a boolean, or {histograms}. section: `train`. Collects errors. */
void job_read_tensorboard(ls_config *config, ls_node *section, ls_tensorboard_config *out);

/* Local. Checks the options of `train:` against each other and those of other sections. Collects errors. */
ls_status job_check_train(ls_job *job, const ls_node *section);

/* Local. Likewise those of the optimizer and the targets, once the optimizer is parsed. */
void job_check_optimizer(const ls_job *job);

/* Local. Reads the list `metrics:` into job->measures, after the loss and `data:`. Collects errors. */
void job_read_measures(ls_job *job);

/* Local. Collects an error for each K that is not below the number of classes. */
void job_check_measures(ls_job *job, size_t n_classes);

/* Local. Whether larger values are better. */
bool job_measure_is_maximized(const ls_measure *measure);

/* Collective. Opens data.cache on each rank; a rank that cannot reads the data files (cache.c). */
void job_open_cache(ls_comm *comm, ls_setup *setup);

/* Collective. Opens the training data, and infers the shapes of the model from its inputs; then the others,
 * if they have data of their own, which must be like those of training. */
ls_status job_open_training(ls_comm *comm, ls_setup *setup);
ls_status job_open_validation(ls_comm *comm, ls_setup *setup);
ls_status job_open_test(ls_comm *comm, ls_setup *setup);

/* Local. Infers the shapes of the model from the inputs, and checks the options that depend on its outputs.
 */
ls_status job_infer_shapes(ls_job *job, const ls_dataset *dataset);

/* Local. Uses the datasets of the job's lender, if there is one with the same data (lend.c). *is_lent: it
 * does; otherwise the shapes of the model may be known already. */
ls_status job_borrow_data(ls_setup *setup, bool *is_lent);

/* Collective. Opens the datasets of the job and reads their targets; infers the shapes of the model from
 * the inputs. */
ls_status job_open_data(ls_comm *comm, ls_setup *setup);

/* Collective. Checks, before they are read, that the nodes have memory for the data of a trial that uses
 * its own, beside those of other groups of ranks. Like ls_setup_check_memory. */
ls_status job_check_data_memory(ls_comm *comm, const ls_setup *setup);

/* Local. Collects errors of train.class_weight that do not depend on the model. */
void job_check_class_weight(ls_job *job);

/* Local. Collects an error if train.class_weight does not fit a model with n_out outputs. */
void job_check_class_count(ls_job *job, size_t n_out);

/* Collective. Sets the weights of classes in training: from the config, the checkpoint or the data. */
ls_status job_set_class_weights(ls_comm *comm, ls_setup *setup);

/* Collective. Drops the checkpoint that is resumed unless it has learned the same from data of the same
 * shape. Otherwise train rejects it, with its reason. */
void job_check_resumed(ls_comm *comm, ls_setup *setup);

/* Collective. Reads the normaliser of the checkpoint that is resumed, or learns it. */
ls_status job_set_normalizer(ls_comm *comm, ls_setup *setup);

/* Collective. Computes the ROC AUC of all outputs from the scores that the metric keeps of this rank's
 * samples. Samples of higher ranks follow those of lower ones. LS_ERR_INTERNAL if memory is short. */
ls_status job_measure_auc(ls_comm *comm, ls_metric *metric);

#endif
