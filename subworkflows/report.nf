// Tables across tissues and the report.

include { disclosureMode; declaredSetting; schemaGroups } from './params.nf'
include { skippedStages } from './stages.nf'
include { SUMMARISE } from '../modules/summarise/main.nf'
include { MULTIQC   } from '../modules/multiqc/main.nf'
include { BUILD_EXPLORER } from '../modules/build_explorer/main.nf'
include { DRAW_FIGURES } from '../modules/draw_figures/main.nf'

// Parameters that differ from their defaults, as a MultiQC section. A path may name somebody: of one a shareable report
// says only that it was given.
def parametersSection(opts) {
    def shown = []
    def shareable = disclosureMode(opts) == 'shareable'
    schemaGroups().each { group ->
        group.properties.each { name, p ->
            def value = opts[name]
            if (value != null && value.toString() != (p['default'] == null ? '' : p['default'].toString()) && !p.hidden) { shown << [name, shareable && p.format ? 'given' : value.toString()] }
        }
    }
    def escape = { text -> text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;').replace('"', '&quot;') }
    def items = shown.collect { name, value -> "<dt>--${name}</dt><dd><samp>${escape(value)}</samp></dd>" }.join('')
    return groovy.json.JsonOutput.toJson([
        id: 'hx_parameters', section_name: 'Parameters', plot_type: 'html',
        description: 'Parameters that differ from their defaults; pipeline_info/params.json runs the same again.',
        data: "<dl class=\"dl-horizontal\">${items}</dl>".toString(),
    ])
}

// The slide of each tissue that figure 2 shows: of those that went well the one in the middle by number of patches.
def shownSlides(status) {
    def patches = { row -> (row.n_patches ?: '0').toInteger() }
    return status.splitCsv(header: true, sep: '\t').findAll { row -> row.status == 'ok' }
        .groupBy { row -> row.tissue_id }
        .collect { _tissue_id, rows ->
            def sorted = rows.sort { a, b -> patches(a) <=> patches(b) ?: a.sample <=> b.sample }
            sorted[sorted.size().intdiv(2)].sample
        }
}

workflow REPORT {
    take:
    cohort     // channel: path(*.tsv)
    losses     // channel: path(*.dropped.tsv)
    status     // value: path(slide_status.tsv) or []
    tables     // channel: path of the tables of all other stages
    sheets     // channel: path of sections with pictures: contact sheets and feature cards
    explored   // channel: path of what the explorer reads beside them
    pictures   // channel: names of pictures below description/
    galleries  // channel: [ <tissue_id>.<size>, path(*.slides.png) ]
    tissues    // channel: path(<sample>.figure2.jpg)
    features   // channel: [ meta, path ]
    expression // channel: [ meta, path ]
    truth      // value: path(truth.json) or []
    versions   // channel: path(versions.yml)
    opts       // map of typed parameters

    main:
    def by_name = { a, b -> a.name <=> b.name }
    // Several losses share a name: their text orders them.
    ch_losses = losses.map { path -> [path.text, path] }.toSortedList { a, b -> a[0] <=> b[0] }.map { all -> all.collect { pair -> pair[1] } }
    // Features and expression are read again only for the planted truths of a simulated cohort.
    def primary = declaredSetting(opts)
    def left_out = skippedStages(opts).collect { stage, why -> "${stage}: ${why}".toString() }
    def pseudonyms = opts.pseudonyms ? file(opts.pseudonyms) : []
    ch_features = features.map { _meta, path -> path }.toSortedList(by_name)
    ch_expression = expression.map { _meta, path -> path }.toSortedList(by_name)
    def known = opts.simulate || opts.truth
    SUMMARISE(
        cohort.toSortedList(by_name),
        ch_losses,
        status,
        tables.toSortedList(by_name),
        known ? ch_features : [],
        known ? ch_expression : [],
        truth,
        file("${projectDir}/assets/methods.toml"),
        primary,
        left_out,
        pseudonyms,
        [mode: disclosureMode(opts), genotypes: opts.genotypes as boolean],
    )

    BUILD_EXPLORER(
        cohort.toSortedList(by_name),
        tables.mix(explored).toSortedList(by_name),
        ch_features,
        ch_expression,
        files("${projectDir}/assets/explorer/*").sort { path -> path.name },
        pseudonyms,
        pictures.toSortedList(),
        primary,
        left_out,
        disclosureMode(opts),
    )

    // Figures are drawn from what is published, and from what describe_features.py says of single donors.
    def described = ['descriptions', 'description_points', 'gallery_slides']
    DRAW_FIGURES(
        SUMMARISE.out.tables.flatten()
            .mix(tables.filter { path -> described.any { kind -> path.name.endsWith(".${kind}.tsv") } })
            .toSortedList(by_name),
        galleries.toSortedList { a, b -> a[0] <=> b[0] ?: a[1].name <=> b[1].name }
            .map { pairs -> pairs ? pairs.transpose() : [[], []] },
        tissues.combine(status.map { path -> [path ? shownSlides(path) : []] })
            .filter { path, shown -> (path.name - '.figure2.jpg') in shown }
            .map { path, _shown -> path }
            .toSortedList(by_name),
        primary,
        left_out,
        disclosureMode(opts),
    )

    ch_versions = versions.mix(SUMMARISE.out.versions, BUILD_EXPLORER.out.versions, DRAW_FIGURES.out.versions).map { path -> path.text.trim() }
        .mix(channel.of("Workflow:\n  histogex: ${workflow.manifest.version}\n  nextflow: ${workflow.nextflow.version}".toString()))
        .unique()
        .collectFile(storeDir: "${opts.outdir}/pipeline_info", name: 'hx_software_mqc_versions.yml', sort: true, newLine: true)
    ch_parameters = channel.of(parametersSection(opts)).collectFile(name: 'hx_parameters_mqc.json')
    MULTIQC(
        SUMMARISE.out.sections.mix(ch_versions, ch_parameters, sheets).flatten().toSortedList(by_name),
        file("${projectDir}/assets/multiqc_config.yml"),
    )

    emit:
    report = MULTIQC.out.report // channel: path(multiqc_report.html)
}
