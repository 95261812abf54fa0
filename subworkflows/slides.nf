// Slides -> tissue, patches and, in one decode of each slide, the features of all sizes and encoders.

include { builtIn; encoderList; frozenEncoders; pathList; sizeNames; summarySample; wantsRetrained } from './params.nf'
include { patchFeatureSample; slidePath; slideParts } from './cohort.nf'
include { SEGMENT_TISSUE    } from '../modules/segment_tissue/main.nf'
include { SAMPLE_PATCHES    } from '../modules/sample_patches/main.nf'
include { TRAIN_CLASSIFIER  } from '../modules/train_classifier/main.nf'
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

// Weights that raw has and the classifier starts from; [] for drawn ones. Keras' own are fetched once, before any task.
def weightsFile(weights) {
    def keras = 'https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5'
    return weights == 'random' ? [] : file(weights == 'imagenet' ? keras : weights)
}

// Whether a classifier is trained: it is asked for, is not given, and there are tissues to tell apart.
def trains(opts, rows) {
    def asked = wantsRetrained(opts) && !opts.retrained_weights
    def tissues = rows.collect { row -> row.tissue_id }.unique()
    if (asked && tissues.size() == 1) {
        log.warn("One tissue (${tissues[0]}): there is nothing to tell it from, so no classifier is trained and the encoder retrained is left out; --retrained_weights gives one of another cohort.")
    }
    return asked && tissues.size() > 1
}

def trainingSettings(opts, rows) {
    return [
        tissues: rows.collect { row -> row.tissue_id }.unique().sort(),
        split: opts.classifier_split, head_epochs: opts.classifier_head_epochs, base_epochs: opts.classifier_base_epochs,
        head_optimizer: opts.classifier_head_optimizer, head_learning_rate: opts.classifier_head_learning_rate,
        learning_rate: opts.classifier_learning_rate, momentum: opts.classifier_momentum,
        freeze_below: opts.freeze_below, augment: opts.classifier_augment ?: '', batch: opts.classifier_batch,
        micro_batch: opts.micro_batch, mixed_precision: opts.classifier_mixed_precision, seed: opts.seed,
    ]
}

// Table of the donors that a classifier saw, as an earlier run left it beside its encoder.
def splitTable(onnx) {
    return onnx.resolveSibling(onnx.name.replace('.retrained.onnx', '.slides.tsv'))
}

// Summaries of --summaries by sample. How many slides have one is said: a wrong folder would compute everything.
def earlierSummaries(opts, rows) {
    def by_sample = pathList(opts.summaries).collectEntries { path -> [summarySample(path), path] }
    if (by_sample) { log.info("--summaries: of ${rows.count { row -> row.sample in by_sample }} of ${rows.size()} slides") }
    return by_sample
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
    ch_grids = channel.empty()
    ch_encoders = channel.empty()
    ch_sheets = channel.empty()
    ch_figures = channel.empty()
    ch_classifier = channel.empty()
    ch_losses = channel.empty()

    if (patch_features) {
        def by_sample = patch_features.groupBy { path -> patchFeatureSample(path) }
        // What --exclude names is left out after the slides: it changes no batch.
        SUMMARISE_PATCHES(rows.flatMap { all ->
            batchTasks(all, { row -> row.findAll { name, _value -> name != 'excluded' } + [slide: by_sample[row.sample] ?: []] })
        })
        ch_summaries = SUMMARISE_PATCHES.out.summaries
        ch_status = SUMMARISE_PATCHES.out.status
        ch_losses = ch_losses.mix(SUMMARISE_PATCHES.out.dropped)
        ch_versions = ch_versions.mix(SUMMARISE_PATCHES.out.versions)
    }
    else {
        ch_rows = rows.map { all -> [all] }.combine(sheet.map { path -> [path] })
        SEGMENT_TISSUE(
            ch_rows.flatMap { all, path ->
                def quota = trainingQuota(all, trains(opts, all) ? opts.classifier_patches : 0)
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
        ch_grids = SEGMENT_TISSUE.out.patches.map { _meta, paths -> paths }
        ch_figures = SEGMENT_TISSUE.out.figures.flatten()

        def encoders = encoderList(opts.encoders)
        def weights = weightsFile(opts.weights)
        PREPARE_ENCODER(
            channel.fromList(encoders.findAll { name, onnx -> onnx == null && name != 'retrained' && !(name in builtIn()) }.collect { name, _onnx -> name }),
            weights,
            [sha256: opts.weights_sha256 ?: '', name: opts.weights == 'imagenet' ? 'imagenet' : '', seed: opts.seed],
        )
        TRAIN_CLASSIFIER(
            SAMPLE_PATCHES.out.patches
                .filter { size, _patches -> opts.retrained_from == null || size == opts.retrained_from }
                .combine(channel.fromList([''] + (opts.classifier_controls ?: '').tokenize(',')))
                .map { size, patches, variant -> [size, variant, patches] },
            weights,
            opts.weights_sha256 ?: '',
            rows.map { all -> trainingSettings(opts, all) },
        )
        ch_frozen = channel.fromList(frozenEncoders(opts))
        ch_encoders = PREPARE_ENCODER.out.encoder
            .mix(
                channel.fromList(encoders.findAll { _name, onnx -> onnx != null }),
                TRAIN_CLASSIFIER.out.encoder.mix(ch_frozen)
                    .map { size, onnx -> [opts.retrained_from || !size ? 'retrained' : "retrained@${size}".toString(), onnx] },
            )
            .toSortedList { a, b -> a[0] <=> b[0] }
            .map { pairs -> pairs ? pairs.transpose() : [[], []] }
            .map { names, files -> [names + encoders.collect { name, _onnx -> name }.findAll { name -> name in builtIn() }, files] }
        ch_classifier = TRAIN_CLASSIFIER.out.tables.flatten()
        // One classifier for all sizes: its donors are those of every size.
        ch_splits = TRAIN_CLASSIFIER.out.encoder.join(TRAIN_CLASSIFIER.out.slides)
            .map { size, _onnx, table -> [size, table] }
            .mix(ch_frozen.map { size, onnx -> [size, splitTable(onnx)] }.filter { _size, table -> table.exists() })
            .flatMap { size, table -> opts.retrained_from || !size ? sizeNames(opts).collect { name -> [name, table] } : [[size, table]] }

        EXTRACT_FEATURES(
            ch_rows.flatMap { all, path ->
                def summaries = earlierSummaries(opts, all)
                def earlier = all.groupBy { row -> row.batch }.collectEntries { batch, members ->
                    [batch, members.findResults { row -> summaries[row.sample] }.sort { summary -> summary.name }]
                }
                batchTasks(all, { row -> slideRow(row, path) }).collect { meta, table, slides -> [meta, table, slides, earlier[meta.id]] }
            }
                .join(SEGMENT_TISSUE.out.patches, failOnMismatch: true, failOnDuplicate: true)
                .combine(CHECK_SEGMENTED.out.passed)
                .map { meta, table, slides, earlier, patches, _passed -> [meta, table, slides, patches, earlier] },
            ch_encoders,
            opts.subMap(['resize', 'micro_batch', 'save_patch_features']),
        )
        ch_summaries = EXTRACT_FEATURES.out.summaries
        ch_status = SEGMENT_TISSUE.out.status.mix(EXTRACT_FEATURES.out.status)
        ch_losses = ch_losses.mix(SEGMENT_TISSUE.out.dropped, SAMPLE_PATCHES.out.dropped, EXTRACT_FEATURES.out.dropped)
        ch_versions = ch_versions.mix(
            SEGMENT_TISSUE.out.versions, SAMPLE_PATCHES.out.versions, PREPARE_ENCODER.out.versions, TRAIN_CLASSIFIER.out.versions,
            EXTRACT_FEATURES.out.versions,
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
    patches   = ch_grids                // channel: path(*_patches.h5), or lists; empty with --patch_features
    encoders  = ch_encoders             // value: [ [ names ], [ paths ] ]; empty with --patch_features
    sheets    = ch_sheets               // channel: path(contact_sheet_*_mqc.jpg)
    figures   = ch_figures              // channel: path(<sample>.figure2.jpg); empty with --patch_features
    classifier = ch_classifier          // channel: path of tables of the classifier
    status    = CHECK_SLIDES.out.status // value: path(slide_status.tsv)
    splits    = ch_splits               // channel: [ size, path of a table of the donors that a classifier was trained on ]
    losses    = ch_losses               // channel: path(*.dropped.tsv)
    versions  = ch_versions             // channel: path(versions.yml)
}
