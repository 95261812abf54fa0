// An encoder as one ONNX file: preprocessing inside, metadata with it. The only task here that starts TensorFlow.
process PREPARE_ENCODER {
    tag "${name}"
    label 'process_low'

    container "histogex/deep:0.1.0-cpu"

    input:
    val name
    path weights // weights file; [] for seeded random weights
    val settings // map: sha256 that the file must have, name (imagenet) that it must be of, '' each where not asked; seed

    output:
    tuple val(name), path("${name}.onnx"), emit: encoder
    path 'versions.yml', emit: versions

    script:
    def with_sha256 = settings.sha256 ? "--weights-sha256 ${settings.sha256}" : ''
    def with_name = settings.name ? "--weights-name ${settings.name}" : ''
    """
    # bin: hx_cli.py hx_inception.py hx_io.py hx_join.py hx_weights.py
    prepare_encoder.py \\
        --encoder ${name} \\
        --weights ${weights ?: 'random'} ${with_sha256} ${with_name} \\
        --seed ${settings.seed} \\
        --out ${name}.onnx

    hx_versions.py --process '${task.process}' keras onnx tf2onnx > versions.yml
    """

    stub:
    """
    touch ${name}.onnx
    echo '"PREPARE_ENCODER": {python: stub}' > versions.yml
    """
}
