// Prediction models by the names of their files, <tissue_id>.<size>.<encoder>.<aggregation>.model.h5: which tissues,
// patch sizes and encoders new slides need. What a file holds is checked where it is applied.

def modelName() {
    return /^([A-Za-z0-9_-]+)\.(-|[1-9][0-9]*(?:um)?)\.(.+)\.([a-z]+)\.model\.h5$/
}

// Files of --predict, sorted.
def modelFiles(opts) {
    return (opts.predict ?: '').tokenize(',').collect { part -> files(part.trim()) }.flatten().sort { path -> path.name }
}

// [path, tissue_id, size, encoder] of the models that are named as they were written.
def modelSettings(opts) {
    return modelFiles(opts).findAll { path -> path.name ==~ modelName() }.collect { path ->
        def parts = (path.name =~ modelName())[0]
        [path: path, tissue_id: parts[1], size: parts[2], encoder: parts[3]]
    }
}

// The parameters with the tissues, patch sizes and encoders that the models need, in place of those of an analysis.
def predictOptions(opts) {
    def models = modelSettings(opts)
    def sizes = models.collect { model -> model.size }.unique() - ['-']
    def tissues = [tissues: opts.tissues ?: models.collect { model -> model.tissue_id }.unique().join(',')]
    if (!sizes) { return opts + tissues }
    def in_um = sizes.every { size -> size.endsWith('um') }
    def named = (opts.encoders ?: '').tokenize(',').collectEntries { spec -> [spec.trim().split('=onnx:', 2)[0], spec.trim()] }
    def encoders = models.collect { model -> named[model.encoder] ?: model.encoder }.unique().sort()
    return opts + tissues + [
        patch_um: in_um ? sizes.collect { size -> size - 'um' }.join(',') : null,
        patch_sizes: in_um ? opts.patch_sizes : sizes.join(','),
        encoders: opts.patch_features ? opts.encoders : encoders.join(','),
    ]
}

// What is wrong with --predict and what is given beside it; `opts` as predictOptions left them.
def predictFaults(opts) {
    if (!opts.predict) { return [] }
    def given = modelFiles(opts)
    def models = modelSettings(opts)
    def faults = given ? [] : ["--predict: no such file: ${opts.predict}".toString()]
    given.findAll { path -> !path.exists() }.each { path -> faults << "--predict: no such file: ${path}".toString() }
    (given - models.collect { model -> model.path }).each { path ->
        faults << "--predict: ${path.name} is not named <tissue_id>.<size>.<encoder>.<aggregation>.model.h5: keep the name that results/prediction has".toString()
    }
    ['simulate', 'gtex_dir', 'tcga_dir', 'expression', 'estimate'].findAll { name -> opts[name] }
        .each { name -> faults << "--predict goes without --${name}: it needs new slides (--input) or their features, and nothing else".toString() }
    def sizes = models.collect { model -> model.size }.unique()
    if (opts.features && sizes.any { size -> size != '-' }) { faults << '--predict: a model of slides needs slides (--input) or --patch_features, not --features' }
    if (!opts.features && '-' in sizes) { faults << '--predict: a model of a table of features needs --features' }
    if (sizes.any { size -> size.endsWith('um') } && !sizes.every { size -> size.endsWith('um') }) { faults << '--predict: models of patch sizes in pixels and in micrometres need a run each' }
    models.collect { model -> model.encoder }.unique().each { encoder ->
        if (opts.features && encoder != opts.features_name) { faults << "--predict: the model is of --features_name ${encoder}, not ${opts.features_name}".toString() }
        if (encoder == 'retrained' && !opts.features && !opts.patch_features && !opts.retrained_weights) { faults << '--predict: the model needs the encoder of its tissue classifier: --retrained_weights results/classifier/*/*.retrained.onnx of that run' }
    }
    return faults
}
