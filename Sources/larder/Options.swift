import ArgumentParser
import FoundationEssentials
import Glibc
import Images
import Logging
import OCI
import Remote
import Store

/// Options that every subcommand which opens the store has.
struct StoreOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Directory of the store.", discussion: "Default: /var/lib/larder for root, $XDG_DATA_HOME/larder for others.", valueName: "dir"), completion: .directory)
    var store: String?

    @Option(name: .long, help: ArgumentHelp("Configuration file.", valueName: "file"), completion: .file(extensions: ["json"]))
    var config: String?

    @Option(name: .long, help: ArgumentHelp("trace, debug, info, notice, warning or error.", valueName: "level"), completion: .list(["trace", "debug", "info", "notice", "warning", "error"]))
    var logLevel: String?
}

/// Options of the subcommands that fetch.
struct RemoteOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Platform to choose from an index, such as linux/arm64.", valueName: "os/arch"))
    var platform: String?

    @Option(name: .long, help: ArgumentHelp("Serve images/NAME/... from OCI layouts in DIR. May be repeated.", valueName: "name=dir"))
    var layout: [String] = []

    @Option(name: .long, help: ArgumentHelp("Talk to this registry without TLS. May be repeated; loopback needs no asking.", valueName: "host[:port]"))
    var plainHttp: [String] = []

    @Option(name: .long, help: ArgumentHelp("The longest a reader waits for one piece of content before it gets an I/O error.", valueName: "seconds"))
    var fetchTimeout: Double?

    @Option(name: .long, help: ArgumentHelp("Whose indexes of unread layers count: those here (local), the image's registry's too (registry), or only what was read here (none).", valueName: "policy"), completion: .list(IndexTrust.allCases.map(\.rawValue)))
    var indexTrust: String?
}

/// What flags, environment and configuration file say together, in that order of weight.
struct Settings: Sendable {
    var storePath: String
    var logLevel: Logger.Level
    var platform: Platform
    var allowOther: Bool
    var passthrough: Bool
    var ioUring: Bool
    var fetchLimit: Duration
    var tagLifetime: Duration
    /// How long a change by path waits for a cache that somebody has to himself.
    var changeLimit: Duration
    var profiles: ProfilePolicy
    var backgroundFill: Bool
    var indexTrust: IndexTrust
    /// What the store may keep.
    var limits: StoreLimits
    /// Where the profile of this process's image shall be written.
    var profileFile: String?
    var hosts: [String: ConfigurationFile.Host]
    var environment: [String: String]

    init(store: StoreOptions, remote: RemoteOptions? = nil, environment: [String: String] = ProcessInfo.processInfo.environment) throws {
        let path = store.config ?? ConfigurationFile.defaultPath(environment: environment, isRoot: geteuid() == 0)
        let file = try ConfigurationFile.load(path, mustExist: store.config != nil || environment["LARDER_CONFIG"]?.isEmpty == false)
        let variables = Variables(environment)

        self.environment = environment
        // Absolute, because a daemon's log and status outlive the directory it was started in.
        storePath = Self.absolute(store.store ?? variables.text("STORE") ?? file.store ?? Store.defaultPath(environment: environment, uid: geteuid()) ?? "/var/lib/larder")
        let level = store.logLevel ?? variables.text("LOG_LEVEL") ?? file.logLevel ?? "info"
        logLevel = try Self.value(of: "log level", level, use: "trace, debug, info, notice, warning or error") { Logger.Level(rawValue: $0.lowercased()) }
        platform = try (remote?.platform ?? variables.text("PLATFORM") ?? file.platform).map { text in
            try Self.value(of: "platform", text, use: "OS/ARCH, such as linux/amd64", Platform.init)
        } ?? .host
        allowOther = try variables.flag("ALLOW_OTHER") ?? file.allowOther ?? (geteuid() == 0)
        passthrough = try variables.flag("PASSTHROUGH") ?? file.passthrough ?? true
        ioUring = try variables.flag("IO_URING") ?? file.ioUring ?? true
        fetchLimit = try Self.seconds(remote?.fetchTimeout ?? variables.number("FETCH_TIMEOUT") ?? file.fetchTimeout ?? 60, "fetch timeout")
        tagLifetime = try Self.seconds(variables.number("TAG_LIFETIME") ?? file.tagLifetime ?? 60, "tag lifetime")
        changeLimit = try Self.seconds(variables.number("CHANGE_TIMEOUT") ?? file.changeTimeout ?? 10, "change timeout")
        let policy = variables.text("PROFILES") ?? file.profiles ?? "auto"
        profiles = try Self.value(of: "profiles", policy, use: "auto or off") { $0 == "auto" ? .auto : $0 == "off" ? .off : nil }
        backgroundFill = try variables.flag("BACKGROUND_FILL") ?? file.backgroundFill ?? true
        let trust = remote?.indexTrust ?? variables.text("INDEX_TRUST") ?? file.indexTrust ?? IndexTrust.registry.rawValue
        indexTrust = try Self.value(of: "index trust", trust, use: "local, registry or none", IndexTrust.init)
        limits = StoreLimits(
            maxSize: try LimitOptions.amount(variables.text("MAX_SIZE") ?? file.maxSize, "maxSize"),
            minFree: try LimitOptions.amount(variables.text("MIN_FREE") ?? file.minFree, "minFree"),
            maxBlobs: try LimitOptions.amount(variables.text("MAX_BLOBS") ?? file.maxBlobs, "maxBlobs"),
            maxContent: try LimitOptions.amount(variables.text("MAX_CONTENT") ?? file.maxContent, "maxContent"))
        hosts = file.hosts
        for text in remote?.layout ?? [] {
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { throw Failure(.usage, "--layout '\(text)': use NAME=DIR") }
            let directory = String(text[text.index(after: equals)...])
            guard directory.first == "/" || !directory.isEmpty else { throw Failure(.usage, "--layout '\(text)': use NAME=DIR") }
            hosts[String(text[..<equals]), default: .init()].layout = directory
        }
        for host in remote?.plainHttp ?? [] { hosts[host, default: .init()].plainHTTP = true }
        for host in hosts.keys where !Repository.isHost(host) { throw Failure(.usage, "'\(host)' is no host name") }
    }

    /// What `text` means where an option or a setting has it for its value.
    static func value<Value>(of name: String, _ text: String, use wanted: String, _ parse: (String) -> Value?) throws -> Value {
        guard let value = parse(text) else { throw Failure(.usage, "\(name) '\(text)': use \(wanted)") }
        return value
    }

    static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    }

    private static func seconds(_ value: Double, _ what: String) throws -> Duration {
        guard value > 0, value < 1e9 else { throw Failure(.usage, "\(what): a number of seconds above 0") }
        return .milliseconds(Int64(value * 1000))
    }

    /// Hosts that are named without a dot or a port: configured layouts and registries.
    var knownHosts: Set<String> { Set(hosts.keys) }

    func reference(_ text: String) throws -> Reference {
        var text = Substring(text)
        if text.hasPrefix("images/") { text = text.dropFirst(7) }
        guard let reference = Reference.parse(String(text), knownHosts: knownHosts) else {
            throw Failure(.usage, "'\(text)' is no image reference; use HOST/REPO:TAG or HOST/REPO@sha256:HEX")
        }
        return reference
    }
}

/// `LARDER_*` in the environment; an empty value counts as none.
private struct Variables {
    private let environment: [String: String]

    init(_ environment: [String: String]) { self.environment = environment }

    func text(_ name: String) -> String? { environment["LARDER_" + name].flatMap { $0.isEmpty ? nil : $0 } }

    func number(_ name: String) throws -> Double? {
        guard let text = text(name) else { return nil }
        guard let value = Double(text) else { throw Failure(.usage, "LARDER_\(name)='\(text)' is no number") }
        return value
    }

    func flag(_ name: String) throws -> Bool? {
        guard let text = text(name) else { return nil }
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw Failure(.usage, "LARDER_\(name)='\(text)' is neither true nor false")
        }
    }
}
