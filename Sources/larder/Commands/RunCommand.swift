import ArgumentParser
import Caches
import Run
import Store

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a command with caches, secrets and other mounts, as RUN --mount does in a Dockerfile.",
        discussion: """
            Mounts are in a namespace of the command's own: nobody else sees them. A cache is the directory of the store itself.
              larder run --preset pip -- pip install -r requirements.txt
              larder run --mount=type=cache,id=apt,target=/var/cache/apt,sharing=locked -- apt-get install -y make
              larder run --secret id=tok,env=TOKEN --mount=type=secret,id=tok -- cat /run/secrets/tok

            --mount takes what BuildKit takes: type=cache|bind|tmpfs|secret|ssh and their options, same defaults, same order
            (options from left to right; mounts by target). A cache's id that is the name of a preset takes that preset.
            A bind mount without `from` comes from the current directory. With `from` it comes from a directory (/PATH, ./PATH), an
            image, or a name given with --from.

            A mount point that is missing is made, and removed afterwards. Where that is not allowed, the command sees a copy of the
            directory with the mount point in it.

            The exit code is the command's; 127 if there is no such program, 126 if it cannot be executed, 125 if it was not run.
            When a signal ends the command it ends larder too. Whatever the command leaves running is ended.
            """
    )

    @Option(name: .long, help: ArgumentHelp("A mount; may be repeated.", valueName: "type=…,target=…"))
    var mount: [String] = []

    @Option(name: .long, help: ArgumentHelp("Mounts and variables for a tool (`larder cache presets`); may be repeated.", valueName: "name"))
    var preset: [String] = []

    @Option(name: .long, help: ArgumentHelp("A secret for secret mounts: id=ID[,src=FILE|,env=NAME].", valueName: "id=…"))
    var secret: [String] = []

    @Option(name: .long, help: ArgumentHelp("An SSH agent for ssh mounts: default, or ID=SOCKET, or ID=KEY[,KEY].", valueName: "id"))
    var ssh: [String] = []

    @Option(name: .long, help: ArgumentHelp("What from=NAME means: a directory, or images/REF.", valueName: "name=dir"))
    var from: [String] = []

    @Option(name: .long, help: ArgumentHelp("Put before every cache's id. Default: LARDER_CACHE_NS, BUILDKIT_CACHE_MOUNT_NS.", valueName: "namespace"))
    var cacheNs: String?

    @Option(name: .long, help: ArgumentHelp("Give this cache as a new empty directory for this run; it stays as it is.", valueName: "id"))
    var noCache: [String] = []

    @Option(name: .long, help: ArgumentHelp("The longest wait for caches, such as 30s or 5m; 0 never waits.", valueName: "duration"))
    var lockTimeout: String?

    @Option(name: .long, help: ArgumentHelp("Where the command starts; relative targets are joined to it.", valueName: "dir"), completion: .directory)
    var workdir: String?

    @Option(name: .long, help: ArgumentHelp("A variable: NAME=VALUE, or NAME for the value it has here.", valueName: "name=value"))
    var env: [String] = []

    @Option(name: .long, help: ArgumentHelp("Run in a directory, or images/REF, as the root; what is changed there goes away.", valueName: "dir"))
    var root: String?

    @Flag(name: .long, help: "Say nothing about waiting for caches.")
    var waitQuiet = false

    @OptionGroup var images: ImageOptions

    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The command and its arguments.", valueName: "command"))
    var command: [String] = []

    func run() async throws {
        // From its first word on everything is the command's, also what looks like an option of ours. Only alone it is for us.
        if ["--help", "-h"].contains(command.first) { throw CleanExit.helpRequest(self) }
        let settings = try images.settings()
        let request = try request(settings)
        let name = request.command.first.map { String(decoding: $0.split(separator: UInt8(ascii: "/")).last ?? [], as: UTF8.self) } ?? ""
        await ForegroundRun.end { run in
            let caches = CacheLibrary(try settings.openStore(create: true), command: "larder run \(name)")
            return try await run(RunSession(
                request, caches: caches, openImage: { try await ImageForRun(settings: settings, options: images).open($0) },
                say: { Terminal.error("larder: \($0)") }))
        }
    }

    private func request(_ settings: Settings) throws -> RunRequest {
        var request = try RunRequest(here: command)
        request.mounts = mount
        request.presets = preset
        request.secrets = secret
        request.ssh = ssh
        request.contexts = from
        request.namespace = cacheNs ?? settings.environment["LARDER_CACHE_NS"] ?? settings.environment["BUILDKIT_CACHE_MOUNT_NS"] ?? ""
        request.fresh = noCache
        request.workingDirectory = workdir
        request.variables = env
        request.root = root
        request.isQuiet = waitQuiet
        for text in from where !text.contains("=") { throw Failure(.usage, "--from '\(text)': use NAME=DIR or NAME=images/REF") }
        request.lockTimeout = try lockTimeout.map { try Settings.value(of: "--lock-timeout", $0, use: "a time such as 30s or 5m", Quantity.duration) }
        return request
    }
}
