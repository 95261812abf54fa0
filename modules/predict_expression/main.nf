// Genes predicted from image features in donors left out of everything, and the models for new slides: one task works
// through the encoders, aggregations and controls of a tissue and size.
process PREDICT_EXPRESSION {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor. table: rows of cohort.tsv of the tissue, with the folds.
    input:
    tuple val(meta), path(features), path(expression), path(design), val(table)
    val settings // map: aggregations, controls, primary, predict_settings, alpha, seed

    output:
    tuple val(meta), path("${meta.id}.prediction_genes.parquet"), emit: genes
    tuple val(meta), path("${meta.id}.*.model.h5"), emit: models, optional: true
    path "${meta.id}.prediction_{summary,top,histogram}.tsv", emit: tables
    path "${meta.id}.predict_expression.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_arguments.py hx_cli.py hx_controls.py hx_donors.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_fdr.py hx_io.py hx_join.py hx_linear.py hx_mixture.py hx_predict.py hx_predict_model.py hx_predict_scale.py hx_predict_tables.py hx_rows.py hx_variance.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    predict_expression.py \\
        --features ${features} \\
        --expression ${expression} \\
        --design ${design} \\
        --cohort cohort.tsv \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --controls ${settings.controls} \\
        --primary=${settings.primary} \\
        --settings ${settings.predict_settings} \\
        --alpha ${settings.alpha} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.prediction_genes.parquet ${meta.id}.raw.mean.model.h5
    for name in summary top histogram; do printf 'setting\\n' > ${meta.id}.prediction_\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.predict_expression.dropped.tsv
    echo '"PREDICT_EXPRESSION": {python: stub}' > versions.yml
    """
}
