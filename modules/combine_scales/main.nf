// Settings of a tissue side by side over all patch sizes, on the donors that every size has.
process COMBINE_SCALES {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    tuple val(meta), path(tables, stageAs: 'tables/*')
    val settings // map: primary, seed

    output:
    path "${meta.id}.{scales,comparisons}.tsv", emit: tables
    path "${meta.id}.combine_scales.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_donors.py hx_gather.py hx_io.py hx_join.py hx_linear.py hx_parallel.py hx_reml.py hx_scales.py hx_shared.py hx_shared_tables.py hx_sizes.py hx_variance.py
    combine_scales.py \\
        --tables tables \\
        --tissue-id ${meta.id} \\
        --primary=${settings.primary} \\
        --seed ${settings.seed} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy pandas pyarrow > versions.yml
    """

    stub:
    """
    for name in scales comparisons; do printf 'setting\\n' > ${meta.id}.\$name.tsv; done
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.combine_scales.dropped.tsv
    echo '"COMBINE_SCALES": {python: stub}' > versions.yml
    """
}
