// Who is analysed: slides, donors and RNA samples joined, every loss listed.

include { pathList; unsafePath } from './params.nf'
include { SIMULATE_COHORT } from '../modules/simulate_cohort/main.nf'
include { PREPARE_GTEX    } from '../modules/prepare_gtex/main.nf'
include { PREPARE_TCGA    } from '../modules/prepare_tcga/main.nf'
include { CHECK_COHORT    } from '../modules/check_cohort/main.nf'

// A row without the apostrophes that write_tsv of bin/hx_io.py sets before what a spreadsheet would run, as read_table reads it.
def plainRow(row) {
    return row.collectEntries { name, value -> [name, value?.replaceFirst('^\'(?=\\s*[=+@-].)', '')] }
}

// Rows of a table with a header; the separator is the one that the header holds most of.
def sheetRows(sheet) {
    def header = sheet.withReader { reader -> reader.readLine() } ?: ''
    def separator = ['\t', ';', ','].max { s -> header.count(s) }
    return sheet.splitCsv(header: true, sep: separator, quote: separator == '\t' ? null : '"', strip: true)
        .collect { row -> plainRow(row.collectEntries { name, value -> [name.replace('\ufeff', ''), value] }) }
}

// A slide of a samplesheet as a path: absolute or a URI as it is, else beside the sheet. Links are followed, since a
// container sees only the folder of the path that it is given.
def slidePath(sheet, slide) {
    def path = slide.contains('://') || slide.startsWith('/') ? file(slide, glob: false) : sheet.parent.resolve(slide)
    return path.scheme == 'file' && path.exists() ? path.toRealPath() : path
}

// What must lie beside a slide for OpenSlide to read it: the folder of a MIRAX slide, the pictures that a Hamamatsu
// index names, the other files of a DICOM series.
def slideParts(slide) {
    def suffix = slide.name.toLowerCase().tokenize('.').last()
    if (suffix == 'mrxs') { return [slide.resolveSibling(slide.baseName)] }
    if (suffix in ['vms', 'vmu']) {
        return slide.readLines('ISO-8859-1').findAll { line -> line.contains('=') }
            .collect { line -> line.substring(line.indexOf('=') + 1).trim() }
            .findAll { name -> name && !name.contains('/') && !name.contains('\\') && slide.resolveSibling(name).isFile() }
            .unique().collect { name -> slide.resolveSibling(name) }
    }
    if (suffix == 'dcm') { return files("${slide.parent.toUriString()}/*.dcm").findAll { path -> path.name != slide.name }.sort { path -> path.name } }
    return []
}

// Sample of a patch-feature file: its name up to the extension.
def patchFeatureSample(path) {
    return path.name.replaceFirst('(_patches)?\\.(h5|hdf5)$', '')
}

// Why the slide of a row cannot be staged; null when it can.
def missingPart(sheet, row) {
    if (!row.slide) { return null }
    def unsafe = 'with a line end, $, *, ? or a backslash, which a shell reads: rename it'
    if (unsafePath(row.slide) || unsafePath(row.tissue_geojson ?: '')) { return "a path ${unsafe}" }
    def slide = slidePath(sheet, row.slide)
    if (unsafePath(slide)) { return "a link to a path ${unsafe}" }
    if (!slide.exists()) { return "slide not found: ${row.slide}" }
    def part = slideParts(slide).find { path -> !path.exists() }
    if (part) { return "slide without its folder: ${part.name} is not beside ${row.slide}" }
    if (slideParts(slide).any { path -> unsafePath(path) }) { return "a file beside ${row.slide} has a name ${unsafe}" }
    return row.tissue_geojson && !slidePath(sheet, row.tissue_geojson).exists() ? "tissue_geojson not found: ${row.tissue_geojson}" : null
}

// Files of --genotypes, with those that PLINK keeps beside a .bed.
def genotypeFiles(text) {
    return pathList(text).collectMany { path ->
        path.name.endsWith('.bed') ? ['.bed', '.bim', '.fam'].collect { suffix -> path.resolveSibling(path.name[0..-5] + suffix) } : [path]
    }
}

// Samples of the sheet whose files are not there, as lines "sample<TAB>reason" under a header.
def missingFiles(sheet, patch_features) {
    def rows = sheetRows(sheet).findAll { row -> row.sample }
    def have = patch_features.collect { path -> patchFeatureSample(path) }.toSet()
    def reasons = rows.collect { row ->
        def reason = !patch_features ? missingPart(sheet, row) : row.sample in have ? null : 'no patch features of this sample in --patch_features'
        reason ? [row.sample, reason].collect { cell -> cell.replaceAll('\\p{Cntrl}', '?') }.join('\t') : null
    }
    return (['sample\treason'] + reasons.findAll { line -> line }).join('\n')
}

// Files of a download: [tables and expression files, which are staged; lines with the paths of slides and other files].
def gtexFiles(dir) {
    def top = files("${dir}/*").sort { path -> path.name }
    def staged = top.findAll { path -> path.name ==~ /(?i).+[._](gct|parquet|txt|csv|tsv)(\.gz)?/ }
    def others = (top - staged) + files("${dir}/slides/**").sort { path -> path.toUriString() }
    return [staged, others.collect { path -> path.toUriString() }.join('\n')]
}

// The same of a download of the GDC, in folders as its client makes them: [tables, files of counts, lines].
def tcgaFiles(dir) {
    def all = files("${dir}/**").sort { path -> path.toUriString() }
    def counts = all.findAll { path -> path.name ==~ /.+star_gene_counts\.tsv(\.gz)?/ }
    def tables = files("${dir}/*.{tsv,txt}").sort { path -> path.name } - counts
    return [tables, counts, (all - counts - tables).collect { path -> path.toUriString() }.join('\n')]
}

workflow COHORT {
    take:
    opts // map of typed parameters

    main:
    def patch_features = pathList(opts.patch_features)
    def features = pathList(opts.features)
    def exclude = opts.exclude ? file(opts.exclude) : []
    ch_versions = channel.empty()
    ch_truth = channel.value(opts.truth ? file(opts.truth) : [])
    // Symbols of a simulated cohort are its own: no gene of the Gene Ontology is among them.
    ch_gene_sets = channel.value(file(opts.gene_sets ?: "${projectDir}/assets/gene_sets/GO_2022-07_size15-500.gmt.gz"))
    ch_genotypes = channel.value(genotypeFiles(opts.genotypes))
    ch_positions = channel.value(opts.gene_positions ? file(opts.gene_positions) : [])
    ch_losses = channel.empty()
    ch_annotations = channel.empty()
    ch_pathology = channel.empty()

    if (opts.simulate) {
        SIMULATE_COHORT(
            opts.simulate,
            [opts.simulate_tissues, opts.simulate_donors, opts.simulate_slide_px],
            [opts.simulate_reliability, opts.simulate_quadratic],
            opts.seed,
        )
        ch_sheet = SIMULATE_COHORT.out.samplesheet
        ch_expression = SIMULATE_COHORT.out.expression
        ch_covariates = SIMULATE_COHORT.out.covariates
        ch_truth = SIMULATE_COHORT.out.truth
        if (!opts.gene_sets) { ch_gene_sets = SIMULATE_COHORT.out.gene_sets }
        ch_genotypes = SIMULATE_COHORT.out.genotypes.map { path -> [path] }
        ch_positions = SIMULATE_COHORT.out.gene_positions
        ch_pathology = SIMULATE_COHORT.out.pathology
        ch_versions = ch_versions.mix(SIMULATE_COHORT.out.versions)
    }
    else if (opts.gtex_dir) {
        def (gtex, found) = gtexFiles(opts.gtex_dir)
        def expression = pathList(opts.expression)
        PREPARE_GTEX(gtex, expression, features, found, opts.join_donor_tissue)
        ch_sheet = PREPARE_GTEX.out.samplesheet
        // What is expression in the folder, the process has read off the headers.
        ch_expression = expression ? channel.value(expression) : PREPARE_GTEX.out.files.map { table ->
            table.splitCsv(header: true, sep: '\t').findAll { row -> row.role == 'expression' }.collect { row -> file("${opts.gtex_dir}/${row.file}") }
        }
        ch_covariates = PREPARE_GTEX.out.covariates.map { path -> [path] + pathList(opts.covariates) }
        ch_losses = ch_losses.mix(PREPARE_GTEX.out.dropped)
        ch_annotations = PREPARE_GTEX.out.annotations.flatten()
        ch_versions = ch_versions.mix(PREPARE_GTEX.out.versions)
    }
    else if (opts.tcga_dir) {
        def (tables, counts, found) = tcgaFiles(opts.tcga_dir)
        PREPARE_TCGA(tables, counts, found, opts.tcga_slides)
        ch_sheet = PREPARE_TCGA.out.samplesheet
        ch_expression = opts.expression ? channel.value(pathList(opts.expression)) : PREPARE_TCGA.out.expression.map { path -> [path] }
        ch_covariates = PREPARE_TCGA.out.covariates.map { path -> [path] + pathList(opts.covariates) }
        ch_losses = ch_losses.mix(PREPARE_TCGA.out.dropped)
        ch_versions = ch_versions.mix(PREPARE_TCGA.out.versions)
    }
    else {
        ch_sheet = channel.value(opts.input ? file(opts.input) : [])
        ch_expression = channel.value(pathList(opts.expression))
        ch_covariates = channel.value(pathList(opts.covariates))
    }

    // A slide that is not there is a loss to be listed, not a crash; only this process can look for URIs.
    ch_missing = ch_sheet.map { sheet -> sheet && !features ? missingFiles(sheet, patch_features) : 'sample\treason' }

    CHECK_COHORT(
        ch_sheet, features, ch_missing, ch_expression, ch_covariates, exclude,
        [opts.expression_unit, opts.tissues ?: '', opts.slide_batches, opts.seed, !features && !patch_features],
    )
    ch_versions = ch_versions.mix(CHECK_COHORT.out.versions)
    ch_losses = ch_losses.mix(CHECK_COHORT.out.dropped)

    emit:
    sheet      = ch_sheet                                                                           // value: path(samplesheet.csv) or []
    slides     = CHECK_COHORT.out.slides.map { table -> table.splitCsv(header: true, sep: '\t').collect { row -> plainRow(row) } }   // value: list of rows (maps)
    donors     = CHECK_COHORT.out.cohort.map { table -> table.splitCsv(header: true, sep: '\t').collect { row -> plainRow(row) } }   // value: list of rows (maps)
    expression = ch_expression                                                                      // value: list of paths
    gene_sets  = ch_gene_sets                                                                       // value: path(GMT)
    genotypes  = ch_genotypes                                                                       // value: list of paths
    positions  = ch_positions                                                                       // value: path or []
    truth      = ch_truth                                                                           // value: path(truth.json) or []
    tables     = CHECK_COHORT.out.slides.mix(CHECK_COHORT.out.cohort, CHECK_COHORT.out.matching, CHECK_COHORT.out.tables.flatten()) // channel: path(*.tsv)
    annotations = ch_annotations.filter { path -> path.name == 'annotations.tsv' }                  // channel: path(annotations.tsv)
    labels     = channel.fromList(pathList(opts.annotations))
        .mix(ch_pathology, ch_annotations.filter { path -> path.name == 'annotations.tsv' })
        .toSortedList { a, b -> a.name <=> b.name ?: a.toUriString() <=> b.toUriString() }           // value: list of paths of annotations
    losses     = ch_losses                                                                          // channel: path(*dropped.tsv)
    versions   = ch_versions                                                                        // channel: path(versions.yml)
}
