// Parameters: help, validation against nextflow_schema.json, cross-checks, the copy that re-runs a run.
// No plugin: a pipeline that must download one cannot start offline.

include { skippedStages; stageFaults } from './stages.nf'
include { predictFaults; predictOptions } from './models.nf'

def schemaGroups() {
    def schema = new groovy.json.JsonSlurper().parseText(file("${projectDir}/nextflow_schema.json").text)
    return schema['$defs'].collect { _key, group -> group }
}

def helpText() {
    def lines = ["HistoGEx ${workflow.manifest.version}: ${workflow.manifest.description}", '',
                 'Usage: nextflow run . [-profile docker] --input samplesheet.csv --expression expression.gct.gz --outdir results', '']
    schemaGroups().each { group ->
        lines << group.title
        group.properties.findAll { _name, p -> !p.hidden }.each { name, p ->
            def kind = p['enum'] ? p['enum'].join('|') : p.type
            def preset = p['default'] != null && p['default'] != '' ? " [${p['default']}]" : ''
            lines << "  --${name.padRight(22)} <${kind}> ${p.description}${preset}"
        }
        lines << ''
    }
    return lines.join('\n')
}

def coerce(value, type) {
    def text = value.toString()
    if (type == 'boolean') { return text.toLowerCase() in ['true', 'false'] ? text.toLowerCase() == 'true' : null }
    if (type == 'integer') { return text ==~ '-?\\d+' ? text.toLong() : null }
    if (type == 'number')  { return text.isNumber() ? text.toBigDecimal() : null }
    return text
}

// [typed copy of the parameters, list of faults]
def checkTypes(given) {
    def faults = []
    def typed = [:]
    schemaGroups().each { group ->
        group.properties.each { name, p ->
            def raw = given.containsKey(name) ? given[name] : null
            typed[name] = null
            if (raw != null && raw.toString() != '') {
                def value = coerce(raw, p.type)
                typed[name] = value
                // These options are the shell's by their purpose.
                if (name != 'gpu_container_options' && (raw.toString() =~ '[\\p{Cntrl}$`]').find()) { faults << "--${name} holds a line end or other control character, a dollar sign or a backtick: leave it out" }
                else if (value == null) { faults << "--${name} must be of type ${p.type}, got '${raw}'" }
                else if (p['enum'] && !p['enum'].any { e -> e.toString() == value.toString() || (p.type == 'number' && e.toBigDecimal() == value) }) { faults << "--${name} must be one of ${p['enum'].join(', ')}, got '${raw}'" }
                else if (p.minimum != null && value < p.minimum) { faults << "--${name} must be at least ${p.minimum}, got ${raw}" }
                else if (p.maximum != null && value > p.maximum) { faults << "--${name} must be at most ${p.maximum}, got ${raw}" }
                else if (p.pattern && !(value ==~ p.pattern)) { faults << "--${name} does not match ${p.pattern}, got '${raw}'" }
            }
        }
    }
    // Nextflow adds the dashed twin of a camelCase option by itself.
    given.keySet().findAll { name -> !typed.containsKey(name) && !name.contains('-') }
        .each { name -> faults << "unknown parameter --${name}: see --help" }
    return [typed, faults]
}

// Whether a shell would read a path as something else than itself: the engine escapes all but line ends and other control
// characters, $ and patterns. A line end in the name of a file would begin a command.
def unsafePath(path) {
    return (path.toString() =~ '[\\p{Cntrl}$*?\\\\]').find()
}

// Paths of a comma-separated list of paths and globs, sorted; null gives [].
def pathList(text) {
    return (text ?: '').tokenize(',').collect { part -> files(part.trim()) }.flatten().sort { path -> path.toUriString() }
}

// Sample of a summary as EXTRACT_FEATURES names it; null for another name.
def summarySample(path) {
    return path.name.endsWith('.summary.h5') ? path.name - '.summary.h5' : null
}

// Names of the patch sizes, as files and settings carry them: 256 (pixels) or 128um (micrometres).
def sizeNames(opts) {
    return opts.patch_um ? opts.patch_um.tokenize(',').collect { um -> "${um}um".toString() } : opts.patch_sizes.tokenize(',')
}

// The declared analysis as size,encoder,aggregation; of a table of features the only one.
def declaredSetting(opts) {
    return opts.features ? "-,${opts.features_name},given".toString() : opts.primary
}

// Encoders that need no file: EXTRACT_FEATURES knows them by name.
def builtIn() {
    return ['texture']
}

// Encoders as [name, onnx file or null]: null is one that is built in, or that PREPARE_ENCODER or TRAIN_CLASSIFIER makes.
def encoderList(text) {
    return text.tokenize(',').collect { spec ->
        def parts = spec.trim().split('=onnx:', 2)
        [parts[0], parts.size() == 2 ? file(parts[1]) : null]
    }
}

// Whether the encoder of the tissue classifier is asked for.
def wantsRetrained(opts) {
    return encoderList(opts.encoders).any { name, _onnx -> name == 'retrained' }
}

// [size, encoder] of --retrained_weights; size '' for a file that names none and so serves all.
def frozenEncoders(opts) {
    if (!wantsRetrained(opts)) { return [] }
    return pathList(opts.retrained_weights).collect { path ->
        def named = path.name =~ /^([1-9][0-9]*(?:um)?)\.retrained\.onnx$/
        [named ? named[0][1] : '', path]
    }
}

// Whether single donors are shown to readers: as --disclosure says, else not where there are genotypes, which tell who
// somebody is.
def disclosureMode(opts) {
    return opts.disclosure ?: (opts.genotypes ? 'shareable' : 'internal')
}

// What the schema cannot say: which parameters go together, and which files must be there.
def checkTogether(opts) {
    def faults = []
    def entries = ['simulate', 'gtex_dir', 'tcga_dir', 'patch_features', 'features', 'input'].findAll { name -> opts[name] }
    if (!entries) { faults << 'nothing to analyse: give --input, --features, --patch_features, --gtex_dir, --tcga_dir or --simulate' }
    if (opts.simulate && entries.size() > 1) { faults << "--simulate goes without --${(entries - 'simulate').join(', --')}" }
    if (opts.features && opts.patch_features) { faults << 'give --features or --patch_features, not both' }
    if (opts.patch_features && !opts.input) { faults << '--patch_features needs --input, a samplesheet with sample, donor and tissue' }
    if (opts.summaries) {
        def image = ['features', 'patch_features'].find { name -> opts[name] }
        if (image) { faults << "--summaries is of slides: give it without --${image}" }
        if (opts.save_patch_features != 'none') { faults << "--summaries goes with --save_patch_features none: summaries hold no features of patches" }
        pathList(opts.summaries).groupBy { path -> summarySample(path) }.each { sample, paths ->
            if (!sample) { faults << "--summaries: ${paths[0]} is not named <sample>.summary.h5: give those of results/features/summaries" }
            else if (paths.size() > 1) { faults << "--summaries: ${paths.join(' and ')} are of one slide: keep one" }
        }
    }
    if (opts.gtex_dir && opts.input) { faults << '--gtex_dir makes the samplesheet: give it without --input' }
    if (opts.tcga_dir && entries.size() > 1) { faults << "--tcga_dir goes without --${(entries - 'tcga_dir').join(', --')}" }
    if (entries && !opts.simulate && !opts.gtex_dir && !opts.tcga_dir && !opts.predict && !opts.expression) { faults << '--expression is required' }
    if (opts.encoders) {
        encoderList(opts.encoders).each { name, onnx ->
            if (!(name ==~ '[A-Za-z0-9][A-Za-z0-9._-]*')) { faults << "--encoders: '${name}' is not a name (letters, digits, . _ -)" }
            else if (onnx == null && !(name ==~ /raw(-(layer(1|7|12|65|166)|mixed([0-9]|10))-(mean|max))?|retrained|texture/)) { faults << "--encoders: '${name}' is unknown: use raw, raw-mixed2-mean and the like, retrained, texture, or ${name}=onnx:/path/to/encoder.onnx" }
            else if (onnx != null && name in builtIn()) { faults << "--encoders: ${name} is built in: give ${onnx} another name" }
            else if (onnx != null && !onnx.exists()) { faults << "--encoders: no such file: ${onnx}" }
        }
    }
    ['input', 'gtex_dir', 'tcga_dir', 'exclude', 'gene_universe', 'genes', 'gene_sets', 'marker_sets', 'gprofiler_cache', 'replication', 'truth', 'gene_positions', 'cell_fractions', 'causality_pairs', 'pseudonyms'].findAll { name -> opts[name] && !file(opts[name]).exists() }
        .each { name -> faults << "--${name}: no such file or folder: ${opts[name]}" }
    def frozen = opts.retrained_weights && opts.encoders ? frozenEncoders(opts).collect { size, _onnx -> size } : []
    def without = frozen && !('' in frozen) && !opts.retrained_from ? sizeNames(opts) - frozen : []
    if (without) { faults << "--retrained_weights has no <size>.retrained.onnx for ${without.join(', ')}: give one for each size, or leave the size out" }
    if (opts.gene_filter == 'gtex' && opts.expression_unit == 'log2') { faults << '--gene_filter gtex needs values before the logarithm: --expression_unit tpm, rpkm, fpkm or counts' }
    if (opts.retrained_from && !(opts.retrained_from in sizeNames(opts))) { faults << "--retrained_from ${opts.retrained_from} is not among the patch sizes ${sizeNames(opts).join(', ')}" }
    ['features', 'patch_features', 'expression', 'covariates', 'retrained_weights', 'summaries', 'genotypes', 'annotations', 'causality_summaries'].findAll { name -> opts[name] }.each { name ->
        opts[name].tokenize(',').each { part ->
            def found = files(part.trim())
            if (!found || found.any { path -> !path.exists() }) { faults << "--${name}: no such file: ${part.trim()}" }
        }
    }
    def within = ['gtex_dir', 'tcga_dir', 'replication'].findAll { name -> opts[name] && file(opts[name]).exists() }.collectMany { name -> files("${opts[name]}/**") }
    def named = ['features', 'patch_features', 'expression', 'covariates', 'retrained_weights', 'summaries', 'genotypes', 'annotations', 'causality_summaries'].collectMany { name -> pathList(opts[name]) }
    (within + named).findAll { path -> unsafePath(path) }.each { path -> faults << "${path.toString().replaceAll('\\p{Cntrl}', '?')}: a path with a line end, \$, *, ? or a backslash, which a shell reads: rename it" }
    pathList(opts.genotypes).findAll { path -> path.name.endsWith('.bed') && path.exists() }.each { path ->
        def lacking = ['.bim', '.fam'].findAll { suffix -> !path.resolveSibling(path.name[0..-5] + suffix).exists() }
        if (lacking) { faults << "--genotypes: ${path.name[0..-5]}${lacking.join(' and ')} is not beside ${path}" }
    }
    if (opts.pseudonyms && disclosureMode(opts) == 'internal') { faults << '--pseudonyms is of a report to share: add --disclosure shareable' }
    ['genotypes', 'causality_summaries'].each { name ->
        pathList(opts[name]).groupBy { path -> path.name }.findAll { _file, paths -> paths.size() > 1 }
            .each { file, paths -> faults << "--${name}: ${paths.join(' and ')} are both named ${file}: rename one" }
    }
    if (opts.qtl_permutations > 0 && opts.qtl_permutations < 100) { faults << '--qtl_permutations is 0 or at least 100' }
    if (opts.qtl_scope != 'genome' && opts.genotypes && !opts.gene_positions) { faults << "--qtl_scope ${opts.qtl_scope} needs --gene_positions" }
    if (opts.weights && !(opts.weights in ['random', 'imagenet']) && !file(opts.weights).exists()) {
        faults << "--weights: no such file: ${opts.weights} (or random, imagenet)"
    }
    if (opts.gtex_dir && file(opts.gtex_dir).exists() && !opts.features && !files("${opts.gtex_dir}/slides/**")) {
        faults << "--gtex_dir ${opts.gtex_dir}: no slide in ${opts.gtex_dir}/slides and no --features: put the slides there, or name tables of their features"
    }
    if (opts.tcga_dir && file(opts.tcga_dir).exists() && !files("${opts.tcga_dir}/**star_gene_counts.tsv*")) {
        faults << "--tcga_dir ${opts.tcga_dir}: no *star_gene_counts.tsv in it: download STAR counts with the slides"
    }
    return faults + stageFaults(opts) + predictFaults(opts)
}

// Typed parameters; every fault at once, then exit 2.
def validatedParams(given) {
    def (typed, faults) = checkTypes(given)
    def opts = typed.predict ? predictOptions(typed) : typed
    faults = faults + checkTogether(opts)
    if (faults) {
        System.err.println("Parameter check failed:\n" + faults.collect { fault -> "  * ${fault}" }.join('\n') + "\nSee: nextflow run . --help")
        System.exit(2)
    }
    skippedStages(opts).findAll { _stage, why -> why.startsWith('needs') }.each { stage, why -> log.warn("${stage} is left out: it ${why}") }
    // PREPARE_TCGA makes a table of counts.
    def unit = opts.tcga_dir && !opts.expression ? 'counts' : opts.expression_unit
    return opts + [primary: primarySetting(opts), expression_unit: unit]
}

// The declared primary setting; where a part of it does not run, the first that does, said before anything is run. Which
// encoders made patch features that are given, their files tell, later.
def primarySetting(opts) {
    if (opts.features || opts.predict) { return opts.primary }
    def declared = opts.primary.tokenize(',')
    def encoders = encoderList(opts.encoders).collect { name, _onnx -> name }
    // One tissue has nothing to train a classifier on.
    def untrained = opts.tissues && opts.tissues.tokenize(',').size() == 1 && !opts.retrained_weights ? encoders - 'retrained' : encoders
    def running = [sizeNames(opts), opts.patch_features ? [declared[1]] : untrained ?: encoders, opts.aggregations.tokenize(',')]
    def parts = [declared, running].transpose().collect { part, some -> part in some ? part : some[0] }
    if (parts.join(',') != opts.primary) { log.warn("--primary ${opts.primary} is not among what runs: ${parts.join(',')} is the primary setting") }
    return parts.join(',')
}

// pipeline_info/params.json, under its name once it is whole: a run that is killed, or a full disk, leaves no part of one.
def writeParams(opts) {
    def path = file("${opts.outdir}/pipeline_info/params.json")
    def part = path.resolveSibling(".${workflow.sessionId}.params.json")
    path.parent.mkdirs()
    part.text = paramsJson(opts)
    part.moveTo(path)
}

// Keep other runs out of a results folder; with a fault and exit 2 where another one is at work in it. The system frees the
// lock when this process ends, however it ends, so that a killed run leaves none behind. Object stores know no locks.
def lockResults(opts) {
    def path = file("${opts.outdir}/pipeline_info/.lock")
    if (path.scheme != 'file') { return null }
    path.parent.mkdirs()
    def channel = new RandomAccessFile(path.toFile(), 'rw').channel
    def lock = null
    try {
        lock = channel.tryLock()
    }
    catch (IOException error) {
        log.warn("${path}: this file system keeps no locks (${error.message}): let no second run write to ${opts.outdir}")
        return channel
    }
    if (lock == null) {
        System.err.println("Parameter check failed:\n  * --outdir ${opts.outdir}: another run is at work in it: wait for its end, or give another folder")
        System.exit(2)
    }
    return lock
}

// The parameters as JSON that `-params-file` takes to run the same again.
def paramsJson(opts) {
    def kept = opts.findAll { name, value -> value != null && !(name in ['help', 'version', 'estimate', 'trace_report_suffix']) }
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(kept)) + '\n'
}
