// Slides -> tissue, patches and, in one decode of each slide, the features of all sizes and encoders.

include { encoderList; pathList; sizeNames         } from './params.nf'
include { patchFeatureSample; slidePath; slideParts } from './cohort.nf'
include { SEGMENT_TISSUE    } from '../modules/segment_tissue/main.nf'
include { SAMPLE_PATCHES    } from '../modules/sample_patches/main.nf'
include { PREPARE_ENCODER   } from '../modules/prepare_encoder/main.nf'
include { EXTRACT_FEATURES  } from '../modules/extract_features/main.nf'
include { SUMMARISE_PATCHES } from '../modules/summarise_patches/main.nf'
include { CHECK_SLIDES; CHECK_SLIDES as CHECK_SEGMENTED } from '../modules/check_slides/main.nf'

// Rows as the text of a table. Tasks get their rows as values: the path of a table made by another task would enter
// their hash, and adding one slide would re-run everything.
def tableText(rows) {
    return ([rows[0].keySet().join('\t')] + rows.collect { row -> row.values().join('\t') }).join('\n')
}

// [meta, table, files] a batch. `taskRow` gives the row that a task sees, in which a list stands for paths to stage: each
// lies in a folder of its own, slides1/name, slides2/name …, and the row names them so, several joined by `;`.
def batchTasks(rows, taskRow) {
    return rows.groupBy { row -> row.batch }.collect { batch, members ->
        def staged = []
        def table = members.sort { row -> row.sample }.collect { row ->
            taskRow(row).collectEntries { column, value ->
                if (!(value instanceof List)) { return [column, value] }
                def first = staged.size() + 1
                staged.addAll(value)
                [column, value.withIndex(first).collect { path, number -> "slides${number}/${path.name}" }.join(';')]
            }
        }
        [[id: batch, tissue_id: members[0].tissue_id], tableText(table), staged]
    }
}

// What both slide stages know of a slide.
def slideRow(row, sheet) {
    def slide = slidePath(sheet, row.slide)
    return row.subMap(['sample', 'donor', 'tissue', 'tissue_id', 'mpp']) + [slide: [slide], parts: slideParts(slide)]
}

// Training patches that each slide of a tissue gives. The number of slides counts as a power of two, rounded down, so
// that one slide more seldom re-runs the others; what is too much is left when the patches are gathered.
def trainingQuota(rows, wanted) {
    return rows.countBy { row -> row.tissue_id }.collectEntries { tissue_id, n -> [tissue_id, Math.ceil(wanted / Integer.highestOneBit(n)) as int] }
}

workflow SLIDES {
    take:
    sheet // value: path(samplesheet.csv)
    rows  // value: list of slide rows
    opts  // map of typed parameters

    main:
    def patch_features = pathList(opts.patch_features)
    def limits = [opts.max_failed_slides, opts.allow_mixed_mpp || opts.patch_um as boolean]
    def by_name = { a, b -> a.name <=> b.name }
    ch_versions = channel.empty()
    ch_splits = channel.empty()
    ch_sheets = channel.empty()
    ch_classifier = channel.empty()
    ch_losses = channel.empty()

    if (patch_features) {
        def by_sample = patch_features.groupBy { path -> patchFeatureSample(path) }
        SUMMARISE_PATCHES(rows.flatMap { all -> batchTasks(all, { row -> row + [slide: by_sample[row.sample] ?: []] }) })
        ch_summaries = SUMMARISE_PATCHES.out.summaries
        ch_status = SUMMARISE_PATCHES.out.status
        ch_losses = ch_losses.mix(SUMMARISE_PATCHES.out.dropped)
        ch_versions = ch_versions.mix(SUMMARISE_PATCHES.out.versions)
    }
    else {
        ch_rows = rows.map { all -> [all] }.combine(sheet.map { path -> [path] })
        SEGMENT_TISSUE(
            ch_rows.flatMap { all, path ->
                def quota = trainingQuota(all, opts.classifier_patches)
                batchTasks(all, { row ->
                    def outline = row.tissue_geojson ? [slidePath(path, row.tissue_geojson)] : []
                    slideRow(row, path) + [fold: row.fold, tissue_geojson: outline, training: quota[row.tissue_id]]
                })
            },
            opts.subMap(['segmentation', 'patch_rule', 'min_tissue', 'max_patches', 'resize', 'classifier_px', 'seed']) + [patch_sizes: sizeNames(opts).join(',')],
        )
        // Before the expensive part: too many slides lost, or scanners that see fields of different size, stop the run.
        CHECK_SEGMENTED(rows.map { all -> tableText(all) }, SEGMENT_TISSUE.out.status.toSortedList(by_name), limits)

        SAMPLE_PATCHES(
            SEGMENT_TISSUE.out.training.flatten()
                .map { path -> [path.name.tokenize('.')[0], path] }
                .groupTuple()
                .map { size, parts -> [size, parts.sort { path -> path.name }] },
            [patches: opts.classifier_patches, seed: opts.seed],
        )

        ch_sheets = SAMPLE_PATCHES.out.sheet

        def encoders = encoderList(opts.encoders)
        def weights = opts.weights == 'random' ? [] : file(opts.weights)
        PREPARE_ENCODER(
            channel.fromList(encoders.findAll { _name, onnx -> onnx == null }.collect { name, _onnx -> name }),
            weights,
            opts.weights_sha256 ?: '',
            opts.seed,
        )
        ch_encoders = PREPARE_ENCODER.out.encoder
            .mix(channel.fromList(encoders.findAll { _name, onnx -> onnx != null }))
            .toSortedList { a, b -> a[0] <=> b[0] }
            .map { pairs -> pairs.transpose() }

        EXTRACT_FEATURES(
            ch_rows.flatMap { all, path -> batchTasks(all, { row -> slideRow(row, path) }) }
                .join(SEGMENT_TISSUE.out.patches, failOnMismatch: true, failOnDuplicate: true)
                .combine(CHECK_SEGMENTED.out.passed)
                .map { meta, table, slides, patches, _passed -> [meta, table, slides, patches] },
            ch_encoders,
            opts.subMap(['resize', 'micro_batch', 'save_patch_features']),
        )
        ch_summaries = EXTRACT_FEATURES.out.summaries
        ch_status = SEGMENT_TISSUE.out.status.mix(EXTRACT_FEATURES.out.status)
        ch_losses = ch_losses.mix(SEGMENT_TISSUE.out.dropped, SAMPLE_PATCHES.out.dropped, EXTRACT_FEATURES.out.dropped)
        ch_versions = ch_versions.mix(
            SEGMENT_TISSUE.out.versions, SAMPLE_PATCHES.out.versions, PREPARE_ENCODER.out.versions, EXTRACT_FEATURES.out.versions,
        )
    }

    CHECK_SLIDES(rows.map { all -> tableText(all) }, ch_status.toSortedList(by_name), limits)
    ch_versions = ch_versions.mix(CHECK_SLIDES.out.versions)

    // A tissue goes on as soon as its own batches are done.
    ch_expected = rows.map { all -> [all.collect { row -> [row.tissue_id, row.batch] }.unique().countBy { pair -> pair[0] }] }
    ch_tissues = ch_summaries.combine(ch_expected)
        .map { meta, summaries, expected -> [groupKey(meta.tissue_id, expected[meta.tissue_id]), summaries] }
        .groupTuple(remainder: true)
        .map { key, summaries -> [key.getGroupTarget(), summaries.flatten().sort { path -> path.name }] }
        .combine(CHECK_SLIDES.out.passed)
        .map { tissue_id, summaries, _passed -> [tissue_id, summaries] }

    emit:
    summaries = ch_tissues              // channel: [ tissue_id, [ path(*.summary.h5) ] ]
    sheets    = ch_sheets               // channel: path(contact_sheet_*_mqc.jpg)
    classifier = ch_classifier          // channel: path of tables of the classifier
    status    = CHECK_SLIDES.out.status // value: path(slide_status.tsv)
    splits    = ch_splits               // channel: [ size, path of a table of the donors that a classifier was trained on ]
    losses    = ch_losses               // channel: path(*.dropped.tsv)
    versions  = ch_versions             // channel: path(versions.yml)
}
