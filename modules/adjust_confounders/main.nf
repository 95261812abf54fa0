// What each confounder explains of image and expression, and the columns to adjust for: one task works through all
// encoders and aggregations of a tissue and size.
process ADJUST_CONFOUNDERS {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // table: rows of cohort.tsv of the tissue, with the covariates.
    input:
    tuple val(meta), val(table), path(features), path(expression)
    val settings // map: aggregations, confounders, confounder_model, adjust_also, confounder_pcs, primary, seed

    output:
    // None where the donors of a size leave the model no room: later stages do not take that size up.
    tuple val(meta), path("${meta.id}.design.tsv"), emit: design, optional: true
    path "${meta.id}.{confounder_ledger,factor_curve,factor_pcs,confounder_model,confounder_assumptions,confounder_points,confounder_genes}.tsv", emit: tables
    tuple val(meta), path("${meta.id}.confounder_genes.parquet"), emit: genes
    path "${meta.id}.adjust_confounders.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def also = settings.adjust_also ? "--adjust-also ${settings.adjust_also}" : ''
    """
    # bin: hx_arguments.py hx_assumptions.py hx_bins.py hx_cli.py hx_confounder_tables.py hx_design.py hx_directions.py hx_donors.py hx_factor_cells.py hx_factor_curve.py hx_factor_levels.py hx_factor_pcs.py hx_factor_tests.py hx_factors.py hx_fdr.py hx_io.py hx_join.py hx_layout.py hx_ledger.py hx_linear.py hx_parallel.py hx_pvalue.py hx_rows.py hx_selection.py hx_splines.py hx_variance.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    adjust_confounders.py \\
        --features ${features} \\
        --expression ${expression} \\
        --cohort cohort.tsv \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --confounders '${settings.confounders.replace("'", '')}' \\
        --confounder-model ${settings.confounder_model} \\
        --confounder-pcs ${settings.confounder_pcs} \\
        --primary=${settings.primary} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir . ${also}

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    for name in confounder_ledger factor_curve factor_pcs confounder_model confounder_assumptions confounder_points confounder_genes; do
        printf 'factor\\n' > ${meta.id}.\$name.tsv
    done
    touch ${meta.id}.confounder_genes.parquet
    printf 'donor\\n' > ${meta.id}.design.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.adjust_confounders.dropped.tsv
    echo '"ADJUST_CONFOUNDERS": {python: stub}' > versions.yml
    """
}
