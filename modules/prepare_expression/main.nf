// Expression of a tissue's donors: log2(x+1), and the rank-inverse-normal layer that tests use.
process PREPARE_EXPRESSION {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    tuple val(meta), val(table), path(expression, stageAs: 'expression?/*')
    path gene_universe // text file of the only genes to analyse, or []
    val settings // [unit, gene filter]

    output:
    tuple val(meta), path("${meta.id}.expression.h5ad"), emit: expression
    path "${meta.id}.{gene_histograms,sex_check}.tsv", emit: tables
    path "${meta.id}.expression.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    def with_universe = gene_universe ? "--gene-universe ${gene_universe}" : ''
    """
    # bin: hx_cli.py hx_counts.py hx_expression.py hx_factor_cells.py hx_gene_lists.py hx_genes.py hx_io.py hx_join.py hx_matrix.py hx_matrix_base.py hx_matrix_text.py hx_rows.py hx_sex.py hx_units.py
    cat > cohort.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    prepare_expression.py \\
        --expression ${expression} \\
        --expression-unit ${settings[0]} \\
        --cohort cohort.tsv \\
        --tissue-id ${meta.id} ${with_universe} \\
        --gene-filter ${settings[1]} \\
        --out ${meta.id}.expression.h5ad \\
        --histograms ${meta.id}.gene_histograms.tsv \\
        --sex-check ${meta.id}.sex_check.tsv \\
        --dropped ${meta.id}.expression.dropped.tsv

    hx_versions.py --process '${task.process}' anndata numpy pandas pyarrow scipy > versions.yml
    """

    stub:
    """
    touch ${meta.id}.expression.h5ad
    printf 'tissue_id\\twhat\\tleft\\tright\\tgenes\\tkept\\tcut_off\\tapplied\\n' > ${meta.id}.gene_histograms.tsv
    printf 'tissue_id\\tstatus\\tdonors\\tdonor\\trecorded\\tinferred\\n' > ${meta.id}.sex_check.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.expression.dropped.tsv
    echo '"PREPARE_EXPRESSION": {python: stub}' > versions.yml
    """
}
