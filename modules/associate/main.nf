// Every feature against every gene given the covariates: one task works through all encoders, aggregations and controls
// of a tissue and size.
process ASSOCIATE {
    tag "${meta.id}"
    label 'process_low'

    container "histogex/stats:0.1.0-cpu"

    // design: covariates of the model by donor, or []. table: rows of cohort.tsv of the tissue, for the strata of
    // shuffle_within. other: features of another tissue with donors in common, for wrong_tissue, or [].
    input:
    tuple val(meta), path(features), path(expression), path(design), val(table), path(other, stageAs: 'other/*')
    path genes // list of genes that are a family of their own, or []
    val settings // map: aggregations, controls, correction, alpha, primary, max_permutations, seed

    output:
    tuple val(meta), path("${meta.id}.{associations.parquet,association_genes.parquet,association_summary.tsv}"), emit: results
    path "${meta.id}.{association_genes,listed_genes}.parquet", emit: genes
    path "${meta.id}.{association_summary,association_qq,hidden_factors,pc_associations,top_hits}.tsv", emit: tables
    path "${meta.id}.associate.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def options = [
        design ? "--design ${design}" : '',
        other ? "--other-features ${other}" : '',
        genes ? "--genes ${genes}" : '',
    ].findAll().join(' ')
    """
    # bin: hx_arguments.py hx_association.py hx_association_tables.py hx_best_pairs.py hx_cli.py hx_controls.py hx_donors.py hx_factor_cells.py hx_factor_levels.py hx_factor_pcs.py hx_factors.py hx_fdr.py hx_gene_lists.py hx_hidden.py hx_io.py hx_join.py hx_linear.py hx_null.py hx_parallel.py hx_pc_pairs.py hx_pvalue.py hx_robustness.py hx_rows.py hx_scan.py hx_variance.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    associate.py \\
        --features ${features} \\
        --expression ${expression} \\
        --cohort cohort.tsv \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --controls ${settings.controls} \\
        --correction ${settings.correction} \\
        --alpha ${settings.alpha} \\
        --primary=${settings.primary} \\
        --permutations ${settings.max_permutations} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir . ${options}

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.associations.parquet ${meta.id}.association_genes.parquet
    for name in association_summary association_qq hidden_factors pc_associations top_hits; do
        printf 'setting\\n' > ${meta.id}.\$name.tsv
    done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.associate.dropped.tsv
    echo '"ASSOCIATE": {python: stub}' > versions.yml
    """
}
