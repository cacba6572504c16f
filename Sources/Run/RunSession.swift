import CLinux
import Caches
import Glibc
import LinuxIO

/// One `larder run` from its options to the end of its command: takes leases, makes the plan, stands beside the command, and gives
/// everything back whatever way it ends.
public struct RunSession: Sendable {
    let request: RunRequest
    let caches: CacheLibrary
    /// Opens an image's tree; the text is a reference without `images/`.
    let openImage: @Sendable (String) async throws -> MountedImage
    /// For whoever typed the command: one line.
    let say: @Sendable (String) -> Void
    var supervisor = Supervisor()

    public init(
        _ request: RunRequest, caches: CacheLibrary, openImage: @escaping @Sendable (String) async throws -> MountedImage,
        say: @escaping @Sendable (String) -> Void
    ) {
        self.request = request
        self.caches = caches
        self.openImage = openImage
        self.say = say
        supervisor.onMessage = say
    }

    /// Runs the command to its end.
    /// - Throws: `RunError`, `MountSyntaxError`, `CacheError`, and what `openImage` throws; the command has not run then.
    public func run() async throws -> Outcome {
        var images: [String: MountedImage] = [:]
        let result: Result<Outcome, any Error>
        do {
            result = .success(try await run(&images))
        } catch {
            result = .failure(error)
        }
        for image in images.values { image.close() }
        return try result.get()
    }

    private func run(_ images: inout [String: MountedImage]) async throws -> Outcome {
        guard !request.command.isEmpty else { throw RunError.invalid("no command: put it behind --, as in `larder run --preset pip -- pip install requests`") }
        var setting = try RunSetting(request, image: nil)
        if let root = request.root, let reference = Self.imageReference(root) {
            let image = try await open(reference, &images)
            setting = try RunSetting(request, image: image)
        }
        let mounts = try RunMounts(request, variables: setting.environment.variables, workingDirectory: setting.workingDirectory, home: setting.home)
        var sources = SourceTable(request)
        for reference in try sources.imagesNeeded(by: mounts) { sources.images[reference] = try await open(reference, &images) }

        let preparation = try RunPreparation(request, setting, mounts, sources)
        for note in preparation.notes { say(note) }
        let isPrivileged = larder_has_mount_capability() != 0
        for mount in mounts.caches {
            try caches.openOrCreate(mount.name, mounts.settings(of: mount, privileged: geteuid() == 0))
        }
        try await seed(mounts, sources)
        let isQuiet = request.isQuiet
        let leases = try await caches.acquire(mounts.leaseRequests(fresh: request.fresh), timeout: request.lockTimeout) { [say] wait in
            if !isQuiet { say(wait.description) }
        }
        var supervisor = supervisor
        supervisor.others = Set(images.values.compactMap { $0.helper?.pid })
        let execution = RunExecution(
            preparation: preparation, mounts: mounts, leases: leases, isPrivileged: isPrivileged, supervisor: supervisor, say: say)
        return try await withCheckedThrowingContinuation { continuation in
            do throws(SystemError) {
                // The command gets a signal when the thread dies that started it; so that thread sees it through.
                try DedicatedThread.start("larder-run") { continuation.resume(with: Result { try execution.run() }) }
            } catch {
                try? leases.release()
                continuation.resume(throwing: error)
            }
        }
    }

    private func open(_ reference: String, _ images: inout [String: MountedImage]) async throws -> MountedImage {
        if let image = images[reference] { return image }
        let image = try await openImage(reference)
        images[reference] = image
        return image
    }

    /// The reference of `images/REF`; nil for a path.
    static func imageReference(_ text: String) -> String? {
        guard text.hasPrefix("images/") else { return nil }
        let rest = text.dropFirst(7)
        return String(rest.hasSuffix("/rootfs") ? rest.dropLast(7) : rest)
    }

    /// Fills caches that are empty from their `from`, alone with each. What another run has begun meanwhile is left alone.
    private func seed(_ mounts: RunMounts, _ sources: SourceTable) async throws {
        for mount in mounts.caches where !mount.spec.from.isEmpty && !request.fresh.contains(mount.id) {
            guard try caches.mainDirectory(of: mount.name).entries().isEmpty else { continue }
            let place = try sources.place(from: mount.spec.from, source: mount.spec.source)
            let lease = try await caches.acquire([LeaseRequest(mount.name, .locked)], timeout: request.lockTimeout)
            do {
                if let target = lease.leases.first?.directory, try target.entries().isEmpty {
                    do {
                        try TreeCopy.copy(contentsOf: try sources.directory(place), to: target, existing: .keep)
                    } catch {
                        // A seed is there as a whole or not at all.
                        try target.removeContents()
                        throw error
                    }
                }
            } catch {
                try lease.release()
                throw error
            }
            try lease.release()
        }
    }
}
