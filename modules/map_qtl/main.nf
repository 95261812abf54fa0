// Variants of the genome behind image features: components of the declared setting, named features and the embedding of
// a tissue against genotypes, with genotypes permuted beside.
process MAP_QTL {
    tag "${meta.id}"
    label 'process_medium'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor. expression, positions: [] unless the scope is cis or published.
    input:
    tuple val(meta), path(features), path(design), path(expression)
    path genotypes
    path positions
    val settings // map: primary, qtl_scope, qtl_features, qtl_pcs, qtl_min_mac, qtl_min_maf, qtl_permutations, controls, alpha, seed

    output:
    path "${meta.id}.qtl_{summary,leads,locus,qq,manhattan,variants}.tsv", emit: tables
    path "${meta.id}.map_qtl.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def genes = settings.qtl_scope == 'genome' ? '' : "--positions ${positions} --expression ${expression}"
    // Names of features come from a table's header: the shell must not read them.
    def named = settings.qtl_features ? "--qtl-features='${settings.qtl_features.replace("'", "'\\''")}'" : ''
    """
    # bin: hx_arguments.py hx_build.py hx_cli.py hx_controls.py hx_donors.py hx_expression.py hx_factor_cells.py hx_factor_levels.py hx_factor_pcs.py hx_factors.py hx_fdr.py hx_gene_lists.py hx_genotypes.py hx_io.py hx_join.py hx_linear.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_mixture.py hx_null.py hx_parallel.py hx_pc_pairs.py hx_positions.py hx_pvalue.py hx_qtl.py hx_qtl_donors.py hx_qtl_lead_tables.py hx_qtl_leads.py hx_qtl_null.py hx_qtl_scope.py hx_qtl_tables.py hx_qtl_traits.py hx_rows.py hx_scan.py hx_units.py hx_variance.py
    map_qtl.py \\
        --features ${features} \\
        --design ${design} \\
        --genotypes ${genotypes} ${genes} \\
        --setting-prefix ${meta.id} \\
        --primary=${settings.primary} \\
        --scope ${settings.qtl_scope} ${named} \\
        --qtl-pcs ${settings.qtl_pcs} \\
        --min-mac ${settings.qtl_min_mac} \\
        --min-maf ${settings.qtl_min_maf} \\
        --permutations ${settings.qtl_permutations} \\
        --controls ${settings.controls} \\
        --alpha ${settings.alpha} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata h5py numpy pandas scipy > versions.yml
    """

    stub:
    """
    for name in summary leads locus qq manhattan variants; do printf 'setting\\n' > ${meta.id}.qtl_\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.map_qtl.dropped.tsv
    echo '"MAP_QTL": {python: stub}' > versions.yml
    """
}
