import ArgumentParser
import Caches
import Glibc
import OCI
import Store

/// What can be chosen about a cache, as options.
struct CachePolicyOptions: ParsableArguments {
    @Option(name: .long, help: "How whoever does not say stands beside others: shared, private or locked.", completion: CacheCompletion.sharing)
    var sharing: Sharing?

    @Option(name: .long, help: ArgumentHelp("`larder cache prune` keeps it below this, such as 10g; none for no limit.", valueName: "size"))
    var maxSize: String?

    @Option(name: .long, help: ArgumentHelp("`larder cache prune` removes files unused for so long, such as 30d; none for no limit.", valueName: "duration"))
    var maxIdle: String?

    @Flag(name: .long, inversion: .prefixedNo, help: "Pruning leaves it alone.")
    var pin: Bool?

    @Option(name: .long, help: ArgumentHelp("Who shall own the files where it is mounted by root, whoever does on disk; none for those on disk.", valueName: "uid[:gid]"))
    var ownerView: String?

    func apply(to settings: inout CacheSettings) throws {
        if let sharing { settings.sharing = sharing }
        if let pin { settings.policy.isPinned = pin }
        if let maxSize {
            settings.policy.maxSizeBytes = try Self.value("--max-size", maxSize, "a size such as 512m or 10g", Quantity.bytes)
        }
        if let maxIdle {
            let idle = try Self.value("--max-idle", maxIdle, "a duration such as 12h or 30d", Quantity.duration)
            settings.policy.maxIdleSeconds = idle.map { UInt64($0.components.seconds) }
        }
        if let ownerView {
            settings.policy.ownerView = try Self.value("--owner-view", ownerView, "UID or UID:GID", OwnerArgument.init(argument:))?.owner
        }
    }

    private static func value<Value>(_ option: String, _ text: String, _ wanted: String, _ parse: (String) -> Value?) throws -> Value? {
        if text == "none" { return nil }
        return try Settings.value(of: option, text, use: "\(wanted), or none", parse)
    }
}

struct CacheCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a cache, or all caches of a preset.",
        discussion: "A cache is also made by whoever first uses it. A name that a preset has takes that preset's settings."
    )

    @Argument(help: ArgumentHelp("Its name; may be left out with --preset.", valueName: "name"))
    var name: String?

    @Option(name: .long, help: "Take the settings of a preset; see `larder cache presets`.", completion: CacheCompletion.preset)
    var preset: String?

    @OptionGroup var policy: CachePolicyOptions

    @Option(name: .long, help: "Owner of the directory (default: you).")
    var uid: UInt32?

    @Option(name: .long, help: "Group of the directory (default: yours).")
    var gid: UInt32?

    @Option(name: .long, help: ArgumentHelp("Permission bits of the directory (default: 0755).", valueName: "octal"))
    var mode: String?

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        let wanted = try caches().map { ($0, try settings($1)) }
        let library = try Settings(store: store).openCaches(create: true, command: "larder cache create")
        try await Terminal.each(wanted, asJSON: output.json) { name, settings in
            try library.create(name, settings)
            return (try library.definition(of: name), "\(name)\t\(library.mainPath(of: name))")
        }
    }

    private func caches() throws -> [(CacheName, CacheSettings)] {
        let name = try name.map { text in
            guard let name = CacheName(text) else { throw CacheError.badName(text) }
            return name
        }
        guard let text = preset else {
            guard let name else { throw Failure(.usage, "give a name, or --preset") }
            return [(name, CacheLibrary.defaultSettings(of: name))]
        }
        let preset = try CachePresets.named(text)
        guard let name else { return preset.caches.compactMap { cache in CacheName(cache.id).map { ($0, cache.settings(of: preset)) } } }
        let last = name.text.split(separator: "/").last.map(String.init)
        guard let cache = preset.caches.first(where: { $0.id == last }) ?? (preset.caches.count == 1 ? preset.caches.first : nil) else {
            throw Failure(.usage, "preset \(text) has the caches \(preset.caches.map(\.id).joined(separator: ", ")): use one of these names, or none for all of them")
        }
        return [(name, cache.settings(of: preset))]
    }

    private func settings(_ preset: CacheSettings) throws -> CacheSettings {
        var settings = preset
        try policy.apply(to: &settings)
        if uid != nil || gid != nil { settings.owner = CacheOwner(uid: uid ?? geteuid(), gid: gid ?? getegid()) }
        if let mode {
            settings.mode = try Settings.value(of: "--mode", mode, use: "octal digits such as 0775") { UInt32($0, radix: 8).flatMap { $0 <= 0o7777 ? $0 : nil } }
        }
        return settings
    }
}

struct CacheSet: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "set", abstract: "Change what can be chosen about a cache.")

    @Argument(help: ArgumentHelp("Its name.", valueName: "name"), completion: CacheCompletion.name)
    var name: String

    @OptionGroup var policy: CachePolicyOptions

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder cache set")
        let name = try library.name(name)
        var changed = try library.definition(of: name).settings
        // Checked before the cache is touched; applied again to what is there by then.
        try policy.apply(to: &changed)
        try library.update(name) { settings in try? policy.apply(to: &settings) }
        let definition = try library.definition(of: name)
        if output.json { return try Terminal.json(definition) }
        Terminal.output("\(name): \(definition.settings.summary)")
    }
}

extension CacheSettings {
    /// `shared, at most 10.7 GB, files unused for 30 d go, pinned`
    var summary: String {
        var parts = [sharing.rawValue]
        if let size = policy.maxSizeBytes { parts.append("at most \(size.bytesText)") }
        if let idle = policy.maxIdleSeconds { parts.append("files unused for \(Duration.seconds(Int64(clamping: idle)).roughText) go") }
        if policy.isPinned { parts.append("pinned") }
        if let view = policy.ownerView { parts.append("shown as \(view.uid):\(view.gid)") }
        return parts.joined(separator: ", ")
    }
}
