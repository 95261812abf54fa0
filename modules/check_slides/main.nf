// Status of every slide in one table; stops the run when too many failed.
process CHECK_SLIDES {
    label 'process_single'

    container "histogex/stats:0.1.0-cpu"

    input:
    val table // text of slides.tsv
    path status
    val limits // [share of slides that may fail, scales may be mixed]

    output:
    path 'slide_status.tsv', emit: status
    val true, emit: passed
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_io.py
    cat > slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    check_slides.py \\
        --slides slides.tsv \\
        --status ${status} \\
        --max-failed-slides ${limits[0]} ${limits[1] ? '--allow-mixed-mpp' : ''} \\
        --outdir .

    hx_versions.py --process '${task.process}' pandas > versions.yml
    """

    stub:
    """
    cat > slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE
    printf 'sample\\ttissue_id\\tstatus\\n' > slide_status.tsv
    tail -n +2 slides.tsv | while IFS=\$'\\t' read -r sample _donor _tissue tissue_id _; do
        printf "\$sample\\t\$tissue_id\\tok\\n" >> slide_status.tsv
    done
    echo '"CHECK_SLIDES": {python: stub}' > versions.yml
    """
}
