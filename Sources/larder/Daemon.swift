import Caches
import FuseBridge
import Glibc
import Images
import LinuxIO
import Logging
import OCI
import VirtualFS

/// The process behind a mount: opens the store, mounts, serves until unmounted or told to stop.
struct Daemon {
    let settings: Settings
    let options: FuseSession.Options
    /// `images/REF`, `layers/…`, `snapshots/…` or `caches/ID` to be mounted alone; nil for the whole tree.
    let tree: String?
    /// Called when the mount can be used.
    let onReady: @Sendable () -> Void

    func serve() async throws {
        try await settings.withLibrary(create: true) { try await serve($0) }
    }

    private func serve(_ library: ImageLibrary) async throws {
        let started = Int64(time(nil))
        let current = SessionBox()
        let invalidation = Invalidation()
        let caches = CacheTrees(library: CacheLibrary(library.store, command: "larder mount"), invalidation: invalidation, changeLimit: settings.changeLimit)
        defer { caches.close() }
        let fileSystem: any FileSystem
        if let tree, let cache = Self.cache(tree) {
            fileSystem = try open(cache, caches)
        } else if let tree {
            let (content, key) = try await resolve(tree, library)
            fileSystem = try LarderFileSystem(library: library, logger: library.logger, tree: content, key: key)
        } else {
            let reads = ReadCounters()
            let report = DaemonReport(
                settings: settings, library: library, caches: caches, started: started, mountPoint: options.mountPoint, session: current, reads: reads)
            fileSystem = LarderFileSystem(
                library: library, caches: caches, logger: library.logger, started: started, status: { await report.json() },
                metrics: { report.metrics() }, reads: reads
            )
        }
        let session = try FuseSession(fileSystem: fileSystem, options: options, logger: library.logger)
        current.set(session)
        try session.mount()
        try SignalThread.start([SIGINT, SIGTERM]) { number in
            library.logger.info("stopping", metadata: ["signal": "\(number)"])
            do {
                do { try session.unmount() } catch MountError.busy {
                    library.logger.warning("still in use; what is open fails from now on", metadata: ["mount": "\(options.mountPoint)"])
                    try session.unmount(lazily: true)
                }
            } catch {
                library.logger.error("cannot unmount", metadata: ["reason": "\(error)"])
            }
        }
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            do throws(SystemError) {
                try DedicatedThread.start("larder-session") {
                    done.resume(with: Result {
                        try session.run {
                            let forgetNames = { @Sendable in session.forgetNames() }
                            invalidation.set(names: session.canForgetNames ? forgetNames : nil) { session.forgetListing(of: $0) }
                            library.logger.notice("mounted", metadata: ["mount": "\(options.mountPoint)", "store": "\(settings.storePath)", "passthrough": "\(session.hasPassthrough)", "io_uring": "\(session.usesIOUring)"])
                            onReady()
                            Readiness.announce()
                        }
                    })
                }
            } catch {
                done.resume(throwing: error)
            }
        }
        library.logger.notice("unmounted", metadata: ["mount": "\(options.mountPoint)"])
    }

    /// The cache that `--tree caches/ID` names; nil for another tree.
    static func cache(_ tree: String) -> CacheName? {
        tree.hasPrefix("caches/") ? CacheName(encoded: tree.dropFirst(7).utf8) ?? CacheName(String(tree.dropFirst(7))) : nil
    }

    private func open(_ cache: CacheName, _ caches: CacheTrees) throws -> LiveTree {
        do {
            return try caches.tree(cache)
        } catch FSError.notFound {
            throw CacheError.missing(cache)
        }
    }

    /// Opens the tree that `--tree` names, before anything is mounted.
    private func resolve(_ path: String, _ library: ImageLibrary) async throws -> (ContentTree, key: String) {
        let parts = path.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw Failure(.usage, "--tree '\(path)': use images/REF, layers/sha256/HEX, snapshots/sha256/HEX or caches/ID") }
        var rest = parts[1]
        if rest.hasSuffix("/rootfs") { rest.removeLast(7) }
        switch parts[0] {
        case "images":
            let image = try await library.image(try settings.reference(rest))
            let content = try await library.snapshot(of: image)
            library.use(content, of: image)
            return (content, "mount/images/\(image.manifestDescriptor.digest)")
        case "layers", "snapshots":
            guard rest.hasPrefix("sha256/"), let digest = Digest(hex: rest.dropFirst(7)) else { throw Failure(.usage, "--tree '\(path)': no digest") }
            if parts[0] == "layers" {
                guard let layer = try await library.layers(digest).first else { throw ImageError.unknownLayer(digest) }
                return (ContentTree(layer: try await library.tree(of: layer)), "mount/layers/\(digest)")
            }
            guard let owner = try await library.snapshotOwners(digest).first else { throw Failure(.notFound, "no known image has the snapshot \(digest)") }
            return (try await library.snapshot(of: owner.image, count: owner.count), "mount/snapshots/\(digest)")
        default:
            throw Failure(.usage, "--tree '\(path)': use images/REF, layers/sha256/HEX, snapshots/sha256/HEX or caches/ID")
        }
    }
}
