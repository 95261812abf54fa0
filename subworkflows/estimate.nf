// --estimate: what a run will cost, from its inputs and measured costs, before it starts.

include { builtIn; declaredSetting; encoderList; sizeNames; wantsRetrained } from './params.nf'
include { sheetRows } from './cohort.nf'
include { skippedStages } from './stages.nf'

// Side of a patch in level-0 pixels at the assumed scale.
def sizeInPixels(size, cost) {
    return size.endsWith('um') ? Math.round(size.minus('um').toInteger() / cost.mpp) as int : size.toInteger()
}

// A slide a donor and tissue, and four with defects.
def simulatedRows(opts) {
    def sound = (1..opts.simulate_tissues).collectMany { tissue -> [[tissue: tissue.toString()]] * (opts.simulate_donors as int) }
    return sound + [[tissue: '1']] * 4
}

// Core seconds of all but slides, encoding and training: what each task costs whatever the cohort, and what it costs for
// each setting (encoder and aggregation) that it works through, those of the primary setting alone in some.
def statisticsSeconds(tasks, cost, opts, settings) {
    def all = [PREDICT_EXPRESSION: opts.predict_settings, ENRICH: opts.enrich_settings].findAll { _name, which -> which == 'all' }.keySet()
    def single = ['PREPARE_EXPRESSION', 'PREPARE_GENOTYPES', 'MAP_QTL', 'PREDICT_EXPRESSION', 'ENRICH'] - all
    return tasks.collect { name, n ->
        // The genes and features of a simulated cohort are few.
        def grown = opts.simulate ? 0 : cost.core_seconds_per_setting[name] ?: 0
        n * ((cost.core_seconds_per_task[name] ?: 0) + grown * (name in single ? 1 : settings))
    }.sum()
}

def estimateText(opts) {
    def cost = new groovy.json.JsonSlurper().parseText(file("${projectDir}/assets/costs.json").text)
    def rows = opts.input ? sheetRows(file(opts.input)).findAll { row -> row.sample }
        : opts.simulate ? simulatedRows(opts)
        : []
    def sizes = sizeNames(opts).collect { size -> sizeInPixels(size, cost) }
    def names = encoderList(opts.encoders).collect { name, _onnx -> name }
    def encoders = names.size()
    // Of those that are no network the cost goes with the area, whatever the number of sizes.
    def networks = (names - builtIn()).size()
    def decode = cost.decode_core_seconds_per_megapixel + (encoders - networks) * cost.texture_core_seconds_per_megapixel
    def tissues = rows.collect { row -> row.tissue }.unique().size()
    def opens_slides = !opts.features && !opts.patch_features

    // Tissue of a slide in level-0 pixels; a simulated one is about two thirds tissue.
    def area = opts.simulate ? 0.66 * opts.simulate_slide_px * opts.simulate_slide_px : cost.tissue_mm2_per_slide * 1e6 / (cost.mpp * cost.mpp)
    def patches_of = sizes.collectEntries { size ->
        def all = Math.floor((area / (size * size)).toDouble()).toLong()
        [size, opts.max_patches > 0 ? Math.min(all, opts.max_patches) : all]
    }
    def patches = opens_slides ? rows.size() * patches_of.values().sum() : 0
    def batches = opens_slides || opts.patch_features ? Math.min(rows.size(), tissues * opts.slide_batches) : 0
    def settings = opts.features ? tissues : tissues * sizes.size()
    def trained = opens_slides && tissues > 1 && !opts.retrained_weights && wantsRetrained(opts)
    def classifiers = trained ? (opts.retrained_from ? 1 : sizes.size()) * (1 + (opts.classifier_controls ?: '').tokenize(',').size()) : 0
    // One epoch's worth for the pass through the base that stage 1 works on.
    def training = classifiers * (cost.train_core_seconds_per_classifier + tissues * opts.classifier_patches * (1 + opts.classifier_base_epochs)
        * cost.train_core_seconds_per_patch_and_epoch * (opts.classifier_px / 299) ** 2)
    def tasks = [
        'CHECK_COHORT'      : 1,
        'SEGMENT_TISSUE'    : opens_slides ? batches : 0,
        'SAMPLE_PATCHES'    : trained ? sizes.size() : 0,
        'TRAIN_CLASSIFIER'  : classifiers,
        'EXTRACT_FEATURES'  : opens_slides ? batches : 0,
        'SUMMARISE_PATCHES' : opts.patch_features ? batches : 0,
        'AGGREGATE_FEATURES': settings,
        'PREPARE_EXPRESSION': tissues,
        'ADJUST_CONFOUNDERS': settings,
        'SHARED_VARIANCE'   : settings,
        'ASSOCIATE'         : settings,
        'COMBINE_SCALES'    : tissues,
        'COMPARE_SETTINGS'  : tissues,
        'PREDICT_EXPRESSION': opts.predict_settings == 'all' ? settings : tissues,
        'ENRICH'            : settings,
        'COMBINE_ENRICHMENT': 1,
        'ASSOCIATE_ANNOTATIONS': settings,
        'PREPARE_GENOTYPES' : opts.genotypes || opts.simulate ? 1 : 0,
        'MAP_QTL'           : tissues,
        'TEST_CAUSALITY'    : tissues,
        'DESCRIBE_FEATURES' : tissues,
        'DRAW_FEATURES'     : skippedStages(opts).containsKey('describe_features') ? 0 : tissues,
        // Tissues of each size, and sizes of each tissue; one alone has nothing to compare with.
        'COMPARE_ASSOCIATIONS': (tissues > 1 ? sizes.size() : 0) + (sizes.size() > 1 && !opts.features ? tissues : 0),
        'other'             : opens_slides ? 7 : 4,
    ].findAll { name, n -> n > 0 && !skippedStages(opts).containsKey(name.toLowerCase()) }
    // Slides to map are encoded once more, at the size of the primary setting.
    def mapped = opens_slides && tasks.DRAW_FEATURES ? tissues * opts.map_slides * (patches_of[sizeInPixels(declaredSetting(opts).tokenize(',')[0], cost)] ?: 0) : 0
    // The overview of a large slide is bounded.
    def segment = [cost.segment_core_seconds_per_slide, cost.segment_core_seconds_per_megapixel * area / 1e6].min()
    def reading = opens_slides ? rows.size() * (segment + decode * area / 1e6) : 0
    def encodings = (patches + mapped) * networks
    // A classifier of smaller patches is an encoder of smaller patches.
    def whole = (names - builtIn()).collect { name -> name.startsWith('retrained') ? (opts.classifier_px / 299) ** 2 : 1 }.sum() ?: 0
    def encoding = (patches + mapped) * whole * cost.encode_core_seconds_per_patch
    def statistics = statisticsSeconds(tasks, cost, opts, encoders * (opts.features ? 1 : opts.aggregations.tokenize(',').size()))
    def slides = rows.size().toLong() // bytes pass what an integer holds
    def kept = patches * encoders * cost.bytes_per_patch_feature[opts.save_patch_features]
    def summaries = batches ? slides * encoders * sizes.size() * cost.bytes_per_slide_summary_encoder_and_size : 0
    def places = opens_slides ? patches * cost.bytes_per_patch_place + slides * cost.bytes_of_pictures_per_slide : 0
    def slides_read = opens_slides ? slides * cost.bytes_per_slide : 0
    // Four pictures and outlines, a file of patches a size, a summary.
    def files_per_slide = opens_slides ? 5 + sizes.size() + (opts.save_patch_features == 'none' ? 0 : sizes.size() * encoders) : 0
    def files = rows.size() * files_per_slide + settings * cost.result_files_per_tissue_and_size + 40
    def work = tasks.values().sum() * cost.work_entries_per_task + (batches ? rows.size() * cost.work_entries_per_slide : 0)
    def tera = { bytes -> String.format(java.util.Locale.ROOT, '%.3f TB', (bytes / 1e12).toDouble()) }
    def hours = { seconds -> String.format(java.util.Locale.ROOT, '%.1f', (seconds / 3600).toDouble()) }

    return """
    HistoGEx estimate (nothing was run)
      slides                ${rows.size()} in ${tissues} tissue${tissues == 1 ? '' : 's'}${opts.features || opts.gtex_dir ? ' (rows of a feature table are not counted)' : ''}
      patches               ${patches} (a slide: ${patches_of.collect { size, n -> "${n} of ${size} px" }.join(', ')})
      encoders              ${encoders}
      tasks                 ${tasks.values().sum()} (${tasks.collect { name, n -> "${name} ${n}" }.join(', ')})
      patch encodings       ${encodings} (patches by encoders that are networks)
      core hours on CPU     ${hours(reading + encoding + training + statistics)}, of them reading ${hours(reading)}, encoding ${hours(encoding)}, training ${hours(training)} and statistics ${hours(statistics)}
      slides read           ${opts.simulate ? 'drawn by the run' : tera(slides_read)}
      results written       ${tera(kept + summaries + places)} (patch features kept: ${opts.save_patch_features}), and as much in the work folder
      files in results      about ${files}
      files in work folder  about ${work}
    Assumed: ${opts.simulate ? 'two thirds of a simulated slide is tissue' : "${cost.tissue_mm2_per_slide} mm2 of tissue a slide at ${cost.mpp} um/px, 1 GB a slide"}; costs of assets/costs.json, measured on 2 CPU cores.
    """.stripIndent().trim()
}
