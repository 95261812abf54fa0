// Tissue, patch grid of every size, overlays and quality of a batch of slides.
process SEGMENT_TISSUE {
    tag "${meta.id}"
    label 'process_medium'

    container "${params.container_registry}histogex/slides:0.1.0-cpu"

    input:
    tuple val(meta), val(table), path(slides, stageAs: 'slides?/*')
    val settings // map: patch_sizes, segmentation, patch_rule, min_tissue, max_patches, seed

    output:
    tuple val(meta), path('*px/patches/*_patches.h5', arity: '0..*'), emit: patches
    path 'thumbnails/*.jpg', emit: thumbnails, optional: true
    path 'masks/*.png', emit: masks, optional: true
    path 'geojson/*.geojson', emit: geojson, optional: true
    path "${meta.id}.slides_qc.tsv", emit: status
    path "${meta.id}.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_cli.py hx_grid.py hx_io.py hx_join.py hx_rows.py hx_slide.py hx_tissue.py
    cat > ${meta.id}.slides.tsv << 'END_OF_TABLE'
    ${table.replace('\n', '\n    ')}
    END_OF_TABLE

    segment_tissue.py \\
        --slides ${meta.id}.slides.tsv \\
        --slide-dir . \\
        --patch-sizes ${settings.patch_sizes} \\
        --segmentation ${settings.segmentation} \\
        --patch-rule ${settings.patch_rule} \\
        --min-tissue ${settings.min_tissue} \\
        --max-patches ${settings.max_patches} \\
        --seed ${settings.seed} \\
        --batch-id ${meta.id} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy opencv-python-headless openslide-python openslide-bin h5py > versions.yml
    """

    stub:
    def samples = table.readLines().drop(1).collect { line -> line.tokenize('\t')[0] }
    def sizes = settings.patch_sizes.tokenize(',')
    """
    mkdir -p thumbnails masks geojson ${sizes.collect { size -> "${size}px/patches" }.join(' ')}
    for sample in ${samples.join(' ')}; do
        touch thumbnails/\$sample.jpg masks/\$sample.png geojson/\$sample.geojson
        for size in ${sizes.join(' ')}; do touch \${size}px/patches/\${sample}_patches.h5; done
    done
    printf 'sample\\tstatus\\n' > ${meta.id}.slides_qc.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.dropped.tsv
    echo '"SEGMENT_TISSUE": {python: stub}' > versions.yml
    """
}
