import ArgumentParser
import Caches
import FoundationEssentials
import Glibc
import LinuxIO
import OCI

struct Env: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the variables that send a tool to its caches in a mount.",
        discussion: """
            They point at caches/ID of a running `larder mount`, where reading takes no lease and changing takes a shared one
            for as long as it lasts. So this is for tools whose caches can be shared; for the others, and for a lease over a
            whole command, use `larder run --preset`. Caches that are not there are made.

            EXAMPLES
              eval "$(larder env go npm)"
              larder env --github pip >> "$GITHUB_ENV"
            """
    )

    @Argument(help: "Presets; see `larder cache presets`.", completion: CacheCompletion.preset)
    var presets: [String]

    @Flag(help: "For a shell (the default), for $GITHUB_ENV, or as JSON.")
    var format: Format = .shell

    @Option(name: .long, help: ArgumentHelp("The mount to point at (default: the one of this store).", valueName: "dir"), completion: .directory)
    var mount: String?

    @Option(name: .long, help: ArgumentHelp("Namespace of the caches (default: LARDER_CACHE_NS, then BUILDKIT_CACHE_MOUNT_NS).", valueName: "ns"))
    var cacheNs: String?

    @OptionGroup var store: StoreOptions

    enum Format: String, EnumerableFlag {
        case shell, github, json
    }

    func run() throws {
        let settings = try Settings(store: store)
        let chosen = try presets.map(CachePresets.named)
        let mountPoint = try mountPoint(settings)
        let library = try settings.openCaches(create: true, command: "larder env")
        let namespace = cacheNs ?? settings.environment["LARDER_CACHE_NS"] ?? settings.environment["BUILDKIT_CACHE_MOUNT_NS"] ?? ""
        var environment = settings.environment
        var assignments: [(name: String, value: String)] = []
        for preset in chosen {
            if preset.variables.isEmpty && preset.files.isEmpty {
                Terminal.error("larder: \(preset.notes.first ?? "\(preset.name) has no variable for its cache")")
                continue
            }
            var places: [String: String] = [:]
            for cache in preset.caches {
                guard let name = CacheName(namespace: namespace, id: cache.id) else { throw CacheError.badName(namespace) }
                let definition = try library.openOrCreate(name, cache.settings(of: preset))
                places[cache.id] = "\(mountPoint)/caches/\(name.encoded)"
                if definition.settings.sharing != .shared {
                    Terminal.error("larder: cache '\(name)' is \(definition.settings.sharing.rawValue) (\(cache.sharingReason)): by path nothing keeps two users apart; prefer `larder run --preset \(preset.name)`")
                }
            }
            let directory = try preset.files.isEmpty ? nil : Self.fileDirectory(namespace)
            for (file, content) in preset.files(over: environment, target: { places[$0] }) { try directory.map { try Self.write(content, file, in: $0) } }
            let new = preset.environment(over: environment, target: { places[$0] }, file: { name in directory.map { "\($0)/\(name)" } })
            assignments += new
            for (name, value) in new { environment[name] = value }
        }
        try print(assignments)
    }

    private func print(_ assignments: [(name: String, value: String)]) throws {
        switch format {
        case .shell:
            for (name, value) in assignments { Terminal.output("export \(name)='\(value.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'") }
        case .github:
            for (name, value) in assignments {
                // A delimiter that the value cannot hold: GitHub reads lines until it comes again.
                let delimiter = "larder_\(String(UInt64.random(in: .min ... .max), radix: 36))"
                Terminal.output(value.contains("\n") ? "\(name)<<\(delimiter)\n\(value)\n\(delimiter)" : "\(name)=\(value)")
            }
        case .json: try Terminal.json(Dictionary(assignments.map { ($0.name, $0.value) }) { $1 })
        }
    }

    /// - Throws: where nothing of this store is mounted: the store's own directory would be changed without a lease.
    private func mountPoint(_ settings: Settings) throws -> String {
        if let mount {
            let path = LarderMount.resolve(mount)
            guard access(path + "/caches", F_OK) == 0 else { throw Failure(.notFound, "\(mount): no `larder mount` with caches/ in it") }
            return path
        }
        // The newest first: looking into one whose daemon hangs would wait for it, and no signal could end that.
        for path in try LarderMount.all().reversed().map(\.path) where access(path + "/caches", F_OK) == 0 {
            guard let data = FileManager.default.contents(atPath: path + "/status.json"),
                let status = try? JSONText.decode(DaemonStore.self, from: Array(data)), status.store == settings.storePath
            else { continue }
            return path
        }
        throw Failure(.notFound, "store \(settings.storePath) is mounted nowhere: run `larder mount /larder` first, or use `larder run --preset \(presets.first ?? "NAME")`, which needs no mount")
    }

    private struct DaemonStore: Decodable {
        let store: String
    }

    /// Made anew by each call, and gone after a reboot, as what was exported is.
    private static func fileDirectory(_ namespace: String) throws -> String {
        let base: String
        if geteuid() == 0 {
            base = "/run/larder"
        } else if let runtime = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), runtime.hasPrefix("/") {
            base = runtime + "/larder"
        } else {
            throw Failure(.usage, "XDG_RUNTIME_DIR is not set, and the preset needs a file; use `larder run`")
        }
        let name = namespace.isEmpty ? "default" : CacheName(namespace)?.encoded ?? "default"
        for path in [base, base + "/presets", base + "/presets/" + name] where mkdir(path, 0o755) != 0 && errno != EEXIST {
            throw SystemError("mkdir", path: path)
        }
        return base + "/presets/" + name
    }

    private static func write(_ content: String, _ name: String, in path: String) throws {
        let directory = try Directory(path)
        let temporary = ".\(name).\(getpid())"
        _ = try directory.remove(temporary)
        try directory.open(temporary, O_WRONLY | O_CREAT | O_EXCL).write(Array(content.utf8))
        try directory.rename(temporary, to: name)
    }
}
