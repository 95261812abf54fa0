// Variance that image and expression share, published beside calibrated: one task works through all encoders,
// aggregations and controls of a tissue and size.
process SHARED_VARIANCE {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor. table: rows of cohort.tsv of the tissue, for the strata of shuffle_within.
    input:
    tuple val(meta), path(features), path(expression), path(design), val(table)
    val settings // map: aggregations, controls, primary, seed

    output:
    path "${meta.id}.{shared_variance,shared_variance_curve,shared_variance_genes}.tsv", emit: tables
    tuple val(meta), path("${meta.id}.shared_variance{.tsv,_*.parquet}"), emit: scales // what COMBINE_SCALES reads
    path "${meta.id}.shared_variance.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_arguments.py hx_cli.py hx_controls.py hx_donors.py hx_factor_cells.py hx_factor_levels.py hx_factors.py hx_io.py hx_join.py hx_linear.py hx_parallel.py hx_reml.py hx_rows.py hx_shared.py hx_shared_tables.py hx_variance.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    shared_variance.py \\
        --features ${features} \\
        --expression ${expression} \\
        --design ${design} \\
        --cohort cohort.tsv \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --controls ${settings.controls} \\
        --primary=${settings.primary} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    for name in shared_variance shared_variance_curve shared_variance_genes; do printf 'setting\\n' > ${meta.id}.\$name.tsv; done
    touch ${meta.id}.shared_variance_null.parquet ${meta.id}.shared_variance_jackknife.parquet
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.shared_variance.dropped.tsv
    echo '"SHARED_VARIANCE": {python: stub}' > versions.yml
    """
}
