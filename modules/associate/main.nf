// Every feature against every gene: one task works through all encoders, aggregations and controls of a tissue and size.
process ASSOCIATE {
    tag "${meta.id}"
    label 'process_low'

    container "${params.container_registry}histogex/stats:0.1.0-cpu"

    input:
    tuple val(meta), path(features), path(expression)
    val settings // map: aggregations, controls, correction, alpha, seed

    output:
    path "${meta.id}.associations.parquet", emit: associations
    path "${meta.id}.association_genes.parquet", emit: genes
    path "${meta.id}.association_summary.tsv", emit: summary
    path "${meta.id}.association_qq.tsv", emit: qq
    path "${meta.id}.associate.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_association.py hx_association_tables.py hx_best_pairs.py hx_cli.py hx_donors.py hx_fdr.py hx_io.py hx_join.py hx_linear.py hx_pvalue.py hx_robustness.py hx_scan.py
    associate.py \\
        --features ${features} \\
        --expression ${expression} \\
        --setting-prefix ${meta.id} \\
        --aggregations ${settings.aggregations} \\
        --controls ${settings.controls} \\
        --correction ${settings.correction} \\
        --alpha ${settings.alpha} \\
        --seed ${settings.seed} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.associations.parquet ${meta.id}.association_genes.parquet
    printf 'setting\\n' > ${meta.id}.association_summary.tsv
    printf 'setting\\n' > ${meta.id}.association_qq.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.associate.dropped.tsv
    echo '"ASSOCIATE": {python: stub}' > versions.yml
    """
}
