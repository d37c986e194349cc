"""The networks of ELECTRA and BERT, their objectives, and the masking that feeds them.

electra, bert, classifier                the models, each with its objective
trainable, outputs                       what training knows of a model, and what it returns
masking                                  masks, samples and corrupted token ids
encoder, heads                           the Transformer, and the heads on top of it
attention, linear, dropout               its operations, with faster ones for a CPU
masked_lm_loss                           the loss over the vocabulary, in pieces
initialisation, neighbours               how the weights start
build, compile                           models made and compiled
side_by_side                             batches on several cores, for prediction
flops                                    what a pass costs
"""
