// InceptionV3 fine-tuned to tell the tissues apart from patches of one size -> one ONNX encoder, scores and curves.
process TRAIN_CLASSIFIER {
    tag "${variant ? "${size}.${variant}" : size}"
    label 'process_high'
    label 'process_gpu'

    container "histogex/deep:0.1.0-${task.accelerator ? 'cuda' : 'cpu'}"

    input:
    tuple val(size), val(variant), path(training) // variant: '', or a control, which writes tables alone: patch_split, grey
    path weights       // where the base starts; [] for seeded random weights
    val weights_sha256 // expected SHA-256 of the weights file, or ''
    val settings       // map: tissues (list), split, head_epochs, base_epochs, head_optimizer, head_learning_rate, learning_rate, momentum,
                       // freeze_below, augment, batch, micro_batch, mixed_precision, seed

    output:
    tuple val(size), path("${size}.retrained.onnx"), emit: encoder, optional: true
    path "${size}.classifier.keras", emit: model, optional: true
    tuple val(size), path("${size}.slides.tsv"), emit: slides, optional: true
    path '*.tsv', emit: tables
    path 'versions.yml', emit: versions

    script:
    // A task that ran out of device memory (exit 75) tries again with half the patches a pass: the same result.
    def micro_batch = Math.max(1, settings.micro_batch.intdiv(1 << (task.attempt - 1)))
    // It goes on from the last epoch of the attempt before, where that one's folder is there to see.
    def previous = task.previousTrace?.workdir
    def options = [
        weights_sha256 ? "--weights-sha256 ${weights_sha256}" : '',
        settings.head_learning_rate ? "--head-learning-rate ${settings.head_learning_rate}" : '',
        settings.augment ? "--augment ${settings.augment}" : '',
        variant == 'grey' ? '--grey' : '',
        settings.mixed_precision && task.accelerator ? '--mixed-precision' : '',
        variant ? "--variant ${variant}" : '',
        previous ? "--resume-from '${previous}/checkpoint'" : '',
    ].findAll().join(' ')
    """
    # bin: hx_augment.py hx_classifier.py hx_classifier_model.py hx_classifier_scores.py hx_classifier_split.py hx_cli.py hx_inception.py hx_io.py hx_join.py hx_sizes.py hx_training.py hx_weights.py
    train_classifier.py \\
        --training ${training} \\
        --weights ${weights ?: 'random'} \\
        --tissues ${settings.tissues.join(',')} \\
        --split ${variant == 'patch_split' ? 'patch' : settings.split} \\
        --head-epochs ${settings.head_epochs} \\
        --base-epochs ${settings.base_epochs} \\
        --head-optimizer ${settings.head_optimizer} \\
        --learning-rate ${settings.learning_rate} \\
        --momentum ${settings.momentum} \\
        --freeze-below ${settings.freeze_below} \\
        --batch ${settings.batch} \\
        --micro-batch ${micro_batch} \\
        --seed ${settings.seed} \\
        --device ${task.accelerator ? 'cuda' : 'cpu'} \\
        --threads ${task.cpus} \\
        --checkpoint checkpoint \\
        --outdir . ${options}

    hx_versions.py --process '${task.process}' keras numpy onnx tf2onnx h5py > versions.yml
    """

    stub:
    def name = variant ? "${size}.${variant}" : size
    """
    if [ -z '${variant}' ]; then touch ${size}.retrained.onnx ${size}.classifier.keras; fi
    printf 'size\\tvariant\\tsplit\\tclasses\\tpatch_accuracy\\n' > ${name}.classifier.tsv
    printf 'truth\\tpredicted\\tpatches\\tslides\\n' > ${name}.confusion.tsv
    printf 'stage\\tepoch\\tloss\\taccuracy\\tval_loss\\tval_accuracy\\n' > ${name}.curves.tsv
    printf 'bin\\tconfidence\\taccuracy\\tn\\n' > ${name}.calibration.tsv
    printf 'sample\\tdonor\\ttissue_id\\tsplit\\n' > ${name}.slides.tsv
    echo '"TRAIN_CLASSIFIER": {python: stub}' > versions.yml
    """
}
