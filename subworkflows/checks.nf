// Before the first task: is what the tasks run in there? A run that lacks it stops at once and says what to do, not after
// an hour in the error of some task.

// How tasks are started. Clouds bring their container engine along; on a cluster it is the nodes' business, but for the
// images that Apptainer and Singularity pull at the head.
def whereTasksRun() {
    def executor = (workflow.session.config.process?.executor ?: 'local').toString().toLowerCase()
    def clouds = ['awsbatch', 'azurebatch', 'google-batch', 'k8s']
    return executor == 'local' ? 'here' : executor in clouds ? 'cloud' : 'cluster'
}

// What a command says and its exit status; status null where there is no such command.
def answerOf(words) {
    try {
        def process = new ProcessBuilder(words).redirectErrorStream(true).start()
        def said = new StringBuilder()
        process.consumeProcessOutput(said, said)
        process.waitForOrKill(60000)
        return [status: process.exitValue(), said: said.toString().trim()]
    }
    catch (IOException _error) {
        return [status: null, said: '']
    }
}

// Of each engine the command that answers only where the engine works, and what to do about one that does not.
def engines() {
    return [
        docker     : [command: ['docker', 'version'], fix: 'start it (systemctl start docker, or Docker Desktop) and see that your user may use it (group docker)'],
        podman     : [command: ['podman', 'info'], fix: "see what 'podman info' says to your user"],
        apptainer  : [command: ['apptainer', '--version'], fix: "see what 'apptainer --version' says"],
        singularity: [command: ['singularity', '--version'], fix: "see what 'singularity --version' says"],
    ]
}

def engineFaults(engine) {
    def known = engines()[engine]
    if (!known) { return [] }
    def answer = answerOf(known.command)
    def other = "or run without a container engine: 'make setup', then leave out -profile ${engine}"
    if (answer.status == null) { return ["'${engine}' is not on PATH: install it (on a cluster: module load ${engine}), ${other}"] }
    if (answer.status != 0) { return ["'${known.command.join(' ')}' fails with ${answer.status}: ${known.fix}, ${other}. It says:\n      ${answer.said.readLines().takeRight(3).join('\n      ')}"] }
    return []
}

def condaFaults(config) {
    def command = "${config.useMicromamba}".toBoolean() ? 'micromamba' : "${config.useMamba}".toBoolean() ? 'mamba' : 'conda'
    return answerOf([command, '--version']).status == 0 ? [] : ["'${command}' is not on PATH, or does not work: install it, or run with 'make setup' and without -profile conda"]
}

// Packages of the tasks by the names under which they are imported: tests/python/test_containers.py compares them with bin/.
def packages() {
    return ['PIL', 'anndata', 'bed_reader', 'cv2', 'cyvcf2', 'gprofiler', 'gseapy', 'h5py', 'imagecodecs', 'keras', 'matplotlib', 'multiqc',
            'numpy', 'onnx', 'onnxruntime', 'openslide', 'pandas', 'pyarrow', 'requests', 'scipy', 'tensorflow', 'tf2onnx', 'threadpoolctl',
            'tifffile']
}

// Tools of the checkout's virtual environment, or of the Python that is first on PATH: what beforeScript in conf/base.config gives a task.
def environmentFaults() {
    def own = file("${projectDir}/.venv/bin/python3")
    def python = own.exists() ? own.toString() : 'python3'
    def look = 'import sys; assert sys.version_info >= (3, 11), sys.version; from importlib.util import find_spec; print(*[n for n in sys.argv[1:] if not find_spec(n)])'
    def answer = answerOf([python, '-c', look] + packages())
    def fix = "run 'make setup' in ${projectDir}, or use containers: -profile docker, or -profile apptainer"
    if (answer.status == null) { return ["no container engine is switched on, and there is no ${own} nor any python3 on PATH: ${fix}"] }
    if (answer.status != 0) { return ["no container engine is switched on, and ${python} does not serve (Python 3.11 or newer is needed): ${fix}. It says:\n      ${answer.said.readLines().takeRight(1).join()}"] }
    if (answer.said) { return ["no container engine is switched on, and ${own.exists() ? python : "there is no ${own}; the ${python} on PATH"} lacks ${answer.said.tokenize().join(', ')}: ${fix}"] }
    return []
}

// What is missing, each with its fix; [] where tasks can run. A preview runs none.
def toolFaults() {
    def place = whereTasksRun()
    def conda = workflow.session.config.conda
    def engine = workflow.containerEngine
    if (workflow.preview || place == 'cloud') { return [] }
    if (engine) { return place == 'here' || engine in ['apptainer', 'singularity'] ? engineFaults(engine) : [] }
    if ("${conda?.enabled}".toBoolean()) { return condaFaults(conda) }
    // A stub needs a shell alone.
    return workflow.stubRun ? [] : environmentFaults()
}

// Before anything is written: exit 2 where tasks could not run.
def checkTools() {
    def faults = toolFaults()
    if (faults) {
        System.err.println("Tasks cannot run here:\n" + faults.collect { fault -> "  * ${fault}" }.join('\n'))
        System.exit(2)
    }
}
