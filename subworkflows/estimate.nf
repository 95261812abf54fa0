// --estimate: what a run will cost, from its inputs and measured costs, before it starts.

include { builtIn; encoderList; sizeNames; wantsRetrained } from './params.nf'
include { sheetRows } from './cohort.nf'
include { skippedStages } from './stages.nf'

// A slide a donor and tissue, and four with defects.
def simulatedRows(opts) {
    def sound = (1..opts.simulate_tissues).collectMany { tissue -> [[tissue: tissue.toString()]] * (opts.simulate_donors as int) }
    return sound + [[tissue: '1']] * 4
}

def estimateText(opts) {
    def cost = new groovy.json.JsonSlurper().parseText(file("${projectDir}/assets/costs.json").text)
    def rows = opts.input ? sheetRows(file(opts.input)).findAll { row -> row.sample }
        : opts.simulate ? simulatedRows(opts)
        : []
    // Sides in level-0 pixels at the assumed scale.
    def sizes = sizeNames(opts).collect { size -> size.endsWith('um') ? Math.round(size.minus('um').toInteger() / cost.mpp) as int : size.toInteger() }
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
        'other'             : opens_slides ? 6 : 3,
    ].findAll { name, n -> n > 0 && !skippedStages(opts).containsKey(name.toLowerCase()) }
    def core_seconds = opens_slides
        ? rows.size() * (cost.segment_core_seconds_per_slide + decode * area / 1e6) + patches * networks * cost.encode_core_seconds_per_patch
        : 0
    core_seconds += training
    core_seconds += settings * cost.statistics_core_seconds_per_tissue_and_size
    def kept = patches * encoders * cost.bytes_per_patch_feature[opts.save_patch_features]
    def summaries = opens_slides || opts.patch_features ? rows.size() * encoders * sizes.size() * cost.bytes_per_slide_summary_encoder_and_size : 0
    def slides_read = opens_slides ? rows.size() * cost.bytes_per_slide : 0
    def files_per_slide = opens_slides ? 4 + sizes.size() + (opts.save_patch_features == 'none' ? 0 : sizes.size() * encoders) : 0
    def files = rows.size() * files_per_slide + settings * 6 + 40
    def tera = { bytes -> String.format(java.util.Locale.ROOT, '%.3f TB', (bytes / 1e12).toDouble()) }
    def hours = { seconds -> String.format(java.util.Locale.ROOT, '%.1f', (seconds / 3600).toDouble()) }

    return """
    HistoGEx estimate (nothing was run)
      slides                ${rows.size()} in ${tissues} tissue${tissues == 1 ? '' : 's'}${opts.features || opts.gtex_dir ? ' (rows of a feature table are not counted)' : ''}
      patches               ${patches} (a slide: ${patches_of.collect { size, n -> "${n} of ${size} px" }.join(', ')})
      encoders              ${encoders}
      tasks                 ${tasks.values().sum()} (${tasks.collect { name, n -> "${name} ${n}" }.join(', ')})
      core hours on CPU     ${hours(core_seconds)}, of them encoding ${hours(patches * networks * cost.encode_core_seconds_per_patch)} and training ${hours(training)}
      slides read           ${opts.simulate ? 'drawn by the run' : tera(slides_read)}
      results written       ${tera(kept + summaries)} (patch features kept: ${opts.save_patch_features})
      files in results      about ${files}
    Assumed: ${opts.simulate ? 'two thirds of a simulated slide is tissue' : "${cost.tissue_mm2_per_slide} mm2 of tissue a slide at ${cost.mpp} um/px, 1 GB a slide"}; costs of assets/costs.json, measured on 2 CPU cores.
    """.stripIndent().trim()
}
