// Tissue, patch grid of every size, quality, overlays and training patches of a batch of slides.
process SEGMENT_TISSUE {
    tag "${meta.id}"
    label 'process_medium'

    container "histogex/slides:0.1.0-cpu"

    input:
    tuple val(meta), val(table), path(slides, stageAs: 'slides?/*')
    val settings // map: patch_sizes, segmentation, patch_rule, min_tissue, max_patches, resize, classifier_px, seed

    output:
    tuple val(meta), path('*{px,um}/patches/*_patches.h5', arity: '0..*'), emit: patches
    path 'training/*.training.h5', emit: training, optional: true
    path 'thumbnails/*.jpg', emit: thumbnails, optional: true
    path 'figures/*.jpg', emit: figures, optional: true
    path 'masks/*.png', emit: masks, optional: true
    path 'geojson/*.geojson', emit: geojson, optional: true
    path "${meta.id}.slides_qc.tsv", emit: status
    path "${meta.id}.dropped.tsv", emit: dropped
    path 'versions.yml', emit: versions

    script:
    """
    # bin: hx_artefacts.py hx_bands.py hx_cli.py hx_formats.py hx_grid.py hx_header.py hx_io.py hx_join.py hx_outline.py hx_overlay.py hx_rgba.py hx_rows.py hx_scale.py hx_sizes.py hx_slide.py hx_slide_file.py hx_tissue.py hx_training.py hx_training_cut.py
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
        --resize ${settings.resize} \\
        --training-px ${settings.classifier_px} \\
        --seed ${settings.seed} \\
        --batch-id ${meta.id} \\
        --threads ${task.cpus} \\
        --outdir .

    hx_versions.py --process '${task.process}' numpy opencv-python-headless openslide-python openslide-bin h5py > versions.yml
    """

    stub:
    def samples = table.readLines().drop(1).collect { line -> line.tokenize('\t')[0] }
    def sizes = settings.patch_sizes.tokenize(',')
    def cut = table.readLines().drop(1).any { line -> line.tokenize('\t').last() != '0' } ? sizes : [] // last column: training
    def folders = sizes.collect { size -> (size.endsWith('um') ? size : "${size}px") + '/patches' }
    """
    mkdir -p thumbnails figures masks geojson training ${folders.join(' ')}
    for sample in ${samples.join(' ')}; do
        touch thumbnails/\$sample.jpg figures/\$sample.figure2.jpg masks/\$sample.png geojson/\$sample.geojson
        for folder in ${folders.join(' ')}; do touch \$folder/\${sample}_patches.h5; done
    done
    for size in ${cut.join(' ')}; do touch training/\$size.${meta.id}.training.h5; done
    printf 'sample\\tstatus\\n' > ${meta.id}.slides_qc.tsv
    printf 'id\\tkind\\tstage\\treason\\n' > ${meta.id}.dropped.tsv
    echo '"SEGMENT_TISSUE": {python: stub}' > versions.yml
    """
}
