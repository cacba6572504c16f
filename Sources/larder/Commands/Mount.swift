import ArgumentParser
import Caches
import FoundationEssentials
import FuseBridge
import Glibc
import Images
import LinuxIO
import Logging
import OCI
import Synchronization
import VirtualFS

struct Mount: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Mount the tree of images and caches, one tree alone, or one cache.",
        discussion: """
            Returns when the mount is ready, and serves it in the background until `larder umount DIR`. With
            --foreground it stays and unmounts on SIGINT or SIGTERM.

            --tree mounts one tree alone: images/REF, layers/sha256/HEX or snapshots/sha256/HEX. The kernel then caches
            everything for ever and a warm tree costs no request at all. --tree caches/ID mounts one cache, to be changed.

            cache:ID mounts a cache's own directory, at the speed of the disk, and holds its lease until it is unmounted
            (root only). `larder mount cache:ID DIR` waits until the cache is free, and says for whom.
            """
    )

    @Argument(help: ArgumentHelp("Where to mount; before it cache:ID where that is what to mount.", valueName: "dir"), completion: .directory)
    var places: [String]

    @Flag(name: .shortAndLong, help: "Stay in the foreground and log to standard error.")
    var foreground = false

    @Option(name: .long, help: ArgumentHelp("Mount this tree alone.", valueName: "tree"))
    var tree: String?

    @Flag(name: .long, inversion: .prefixedNo, help: "Let other users look too (default: yes for root; others need user_allow_other in /etc/fuse.conf).")
    var allowOther: Bool?

    @Flag(name: .long, inversion: .prefixedNo, help: "Let the kernel read complete large files itself (root only).")
    var passthrough: Bool?

    @Flag(name: .long, inversion: .prefixedNo, help: "Take the kernel's requests through io_uring where it offers that (Linux 6.14, see larder doctor).")
    var ioUring: Bool?

    @Flag(name: .long, inversion: .prefixedNo, help: "Complete layers that were read from while nobody waits for content (default: yes).")
    var backgroundFill: Bool?

    @Flag(name: .long, help: "Let nobody change a cache through this mount.")
    var readOnly = false

    @Flag(name: .long, help: "Honour set-user-ID bits and file capabilities.")
    var suid = false

    @Flag(name: .long, help: "Honour device nodes.")
    var dev = false

    @Flag(name: .long, help: "Refuse to execute programs.")
    var noexec = false

    @Option(name: .long, help: ArgumentHelp("Log of the background process.", discussion: "Default: larder.log in the store.", valueName: "file"), completion: .file())
    var logFile: String?

    @Option(name: .long, help: ArgumentHelp("Write what is read until the end, in order, to this file, as an access profile (with --tree images/REF).", valueName: "file"), completion: .file())
    var recordProfile: String?

    @Flag(name: .long, help: "Print JSON when the mount is ready.")
    var json = false

    @OptionGroup var cache: CacheMountOptions
    @OptionGroup var limits: LimitOptions
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    private var directory: String { places[places.count - 1] }

    func validate() throws {
        guard places.count == 1 || (places.count == 2 && places[0].hasPrefix("cache:")) else {
            throw ValidationError(places.isEmpty ? "say where to mount" : "use `larder mount DIR` or `larder mount cache:ID DIR`")
        }
        if places.count == 1 && places[0].hasPrefix("cache:") { throw ValidationError("say where to mount \(places[0])") }
        if places.count == 2 && tree != nil { throw ValidationError("--tree and cache:ID are two things to mount in one place") }
        if recordProfile != nil && tree?.hasPrefix("images/") != true { throw ValidationError("--record-profile is for --tree images/REF") }
        if places.count == 1 && cache.isUsed { throw ValidationError("--sharing, --uid, --gid and --lock-timeout are for cache:ID") }
    }

    func run() async throws {
        var settings = try Settings(store: store, remote: remote)
        if let allowOther { settings.allowOther = allowOther }
        if let passthrough { settings.passthrough = passthrough }
        if let ioUring { settings.ioUring = ioUring }
        if let backgroundFill { settings.backgroundFill = backgroundFill }
        settings.limits = try limits.over(settings.limits)
        settings.profileFile = recordProfile.map(Settings.absolute)
        if places.count == 2, let name = try CacheMountOptions.name(places[0]) { return try await mountCache(name, settings) }
        guard foreground else {
            // Made here, so that what is wrong with it is said here, and the log has a place.
            _ = try settings.openStore(create: true)
            let log = logFile ?? settings.storePath + "/larder.log"
            return try announce(settings, pid: try Detachment.run(logFile: log), log: log)
        }
        try await Daemon(settings: settings, options: options(settings), tree: tree) { [settings] in
            // The one who started this process in the background speaks for it.
            if !Readiness.isAwaited { try? announce(settings, pid: getpid(), log: nil) }
        }.serve()
    }

    private func mountCache(_ name: CacheName, _ settings: Settings) async throws {
        guard geteuid() == 0 else {
            throw Failure(.failed, "cache:ID is for root, who may mount: use caches/\(name.encoded) in a mount of your own, or `larder run`")
        }
        let path = LarderMount.resolve(directory)
        let library = try settings.openCaches(create: true, command: CacheMount.command(name, path))
        guard foreground else {
            let log = logFile ?? settings.storePath + "/larder.log"
            return try announce(settings, pid: try Detachment.run(logFile: log), log: log)
        }
        var attributes: DetachedMount.Attributes = []
        if !suid { attributes.insert(.noSetuid) }
        if !dev { attributes.insert(.noDevices) }
        if noexec { attributes.insert(.noExecution) }
        try await CacheMountHolder(
            library: library, cache: name, sharing: cache.sharing, isReadOnly: readOnly, timeout: try cache.lock.limit(), uid: cache.uid, gid: cache.gid,
            attributes: attributes, path: path
        ) { [settings] _ in
            let isAwaited = Readiness.isAwaited
            Readiness.announce()
            if !isAwaited { try? announce(settings, pid: getpid(), log: nil) }
        }.hold()
    }

    private struct Document: Encodable {
        var mountPoint: String
        var store: String
        var tree: String?
        var cache: String?
        var pid: pid_t
        var log: String?
    }

    private func announce(_ settings: Settings, pid: pid_t, log: String?) throws {
        guard json else { return }
        try Terminal.json(Document(mountPoint: LarderMount.resolve(directory), store: settings.storePath, tree: tree, cache: places.count == 2 ? String(places[0].dropFirst(6)) : nil, pid: pid, log: log))
    }

    private func options(_ settings: Settings) -> FuseSession.Options {
        // Images are never changed; that caches are in the same mount keeps the kernel from knowing it.
        let isImmutable = tree.map { Daemon.cache($0) == nil } ?? false
        var flags: FuseSession.MountFlags = isImmutable || readOnly ? .readOnly : []
        if !suid { flags.insert(.noSetuid) }
        if !dev { flags.insert(.noDevices) }
        if noexec { flags.insert(.noExecution) }
        return FuseSession.Options(
            mountPoint: directory, profile: isImmutable ? .zeroMessage : .full, allowOther: settings.allowOther,
            passthrough: settings.passthrough, name: tree ?? "larder", flags: flags, ioUring: settings.ioUring
        )
    }
}
