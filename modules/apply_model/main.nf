// A prediction model of an earlier run applied to the features of new slides: predicted, not measured.
process APPLY_MODEL {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    tuple val(meta), path(model), path(features)

    output:
    path '*.predicted.tsv', emit: predicted
    path '*.predicted_donors.tsv', emit: donors
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_donors.py hx_io.py hx_join.py hx_linear.py hx_predict.py hx_predict_model.py hx_predict_scale.py
    apply_model.py --model ${model} --features ${features} --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas scipy > versions.yml
    """

    stub:
    """
    printf 'donor\\tgene\\n' > ${meta.id}.predicted.tsv
    printf 'donor\\n' > ${meta.id}.predicted_donors.tsv
    echo '"APPLY_MODEL": {python: stub}' > versions.yml
    """
}
