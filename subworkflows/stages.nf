// Statistics stages by name: what --only and --skip choose from, and what each reads of the others.

// A line a stage, in the order of the flow, with the stages that it reads. A stage is the process of its name in
// capitals. ADJUST_CONFOUNDERS is not among them: its design feeds all of them, so it always runs.
def stageNeeds(opts) {
    return [
        shared_variance     : [],
        associate           : [],
        compare_associations: ['associate'],
        combine_scales      : ['shared_variance'],
        compare_settings    : ['associate'],
        predict_expression  : [],
        enrich              : [],
        combine_enrichment  : ['enrich'],
        describe_features   : [],
        associate_annotations: [],
        map_qtl             : [],
        test_causality      : opts.causality_pairs ? [] : ['associate'],
    ]
}

// {stage: what the user would have to give for it}.
def stageLacks(opts) {
    def genotypes = opts.genotypes || opts.simulate
    return [
        map_qtl       : genotypes ? '' : '--genotypes',
        test_causality: genotypes || opts.causality_summaries ? '' : '--genotypes or --causality_summaries',
    ].findAll { _stage, lacking -> lacking }
}

// A stage and what it needs, directly or through another.
def withNeeds(stage, opts) {
    return ([stage] + stageNeeds(opts)[stage].collectMany { need -> withNeeds(need, opts) }).unique()
}

def stageList(text) {
    return (text ?: '').tokenize(',').collect { name -> name.trim() }.unique()
}

// {stage: why it is left out}; stages that run are not in it.
def skippedStages(opts) {
    def skip = stageList(opts.skip)
    def asked = stageList(opts.only).collectMany { stage -> withNeeds(stage, opts) }
    def why = stageNeeds(opts).keySet().collectEntries { stage ->
        def lacking = withNeeds(stage, opts).findAll { need -> need in skip }
        [stage, stage in skip ? 'named by --skip'
            : stageLacks(opts)[stage] ? "no ${stageLacks(opts)[stage]} is given".toString()
            : asked && !(stage in asked) ? "not named by --only ${stageList(opts.only).join(',')}".toString()
            : lacking ? "needs ${lacking.join(' and ')}, named by --skip".toString()
            : '']
    }
    return why.findAll { _stage, reason -> reason }
}

// Queue of a stage: nothing to read, and so no task, where the stage is left out.
def stageQueues(opts) {
    def skipped = skippedStages(opts)
    return { stage, queue -> skipped.containsKey(stage) ? channel.empty() : queue }
}

// What is wrong with --only and --skip.
def stageFaults(opts) {
    def known = stageNeeds(opts).keySet()
    def faults = ['only', 'skip'].collectMany { option ->
        stageList(opts[option]).findAll { stage -> !(stage in known) }.collect { stage ->
            "--${option}: '${stage}' is no stage to choose: use ${known.join(', ')} (adjust_confounders always runs)".toString()
        }
    }
    if (faults) { return faults }
    def skip = stageList(opts.skip)
    faults = stageList(opts.only).collectMany { stage ->
        def lacking = withNeeds(stage, opts).findAll { need -> need in skip }
        stage in lacking ? ["--only and --skip both name ${stage}".toString()]
            : lacking ? ["--only ${stage} needs ${lacking.join(' and ')}, which --skip names".toString()]
            : stageLacks(opts)[stage] ? ["--only ${stage} needs ${stageLacks(opts)[stage]}".toString()]
            : []
    }
    if (!faults && skippedStages(opts).size() == known.size()) { faults = ["--skip ${opts.skip} leaves none of the stages ${known.join(', ')}".toString()] }
    return faults
}
