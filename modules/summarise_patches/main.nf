// Patch features made by an earlier run or by another tool -> the summaries that EXTRACT_FEATURES makes. Opens no slide.
process SUMMARISE_PATCHES {
    tag "${meta.id}"
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    tuple val(meta), val(table), path(features, stageAs: 'features?/*')

    output:
    tuple val(meta), path('summaries/*.summary.h5', arity: '0..*'), emit: summaries
    path "${meta.id}.extract.tsv", emit: status
    path "${meta.id}.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_features.py hx_io.py hx_join.py hx_rows.py hx_sizes.py
    cat > ${meta.id}.slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    summarise_patches.py \\
        --slides ${meta.id}.slides.tsv \\
        --files . \\
        --batch-id ${meta.id} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy h5py > versions.yml
    """

    stub:
    def samples = table.readLines().drop(1).collect { line -> line.tokenize('\t')[0] }
    """
    mkdir -p summaries
    for sample in ${samples.join(' ')}; do touch summaries/\$sample.summary.h5; done
    printf 'sample\\tstatus\\n' > ${meta.id}.extract.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.dropped.tsv
    echo '"SUMMARISE_PATCHES": {python: stub}' > versions.yml
    """
}
