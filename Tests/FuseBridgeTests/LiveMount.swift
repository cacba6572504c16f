import Glibc
import LinuxIO
import Logging
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

/// A directory below /tmp, and the same directory through a mount that can be changed.
struct LiveMount: Sendable {
    /// The directory itself.
    let below: String
    /// Where it is seen through FUSE.
    let path: String
    let session: FuseSession
    let tree: LiveTree
    private let thread: DedicatedThread

    init(passthrough: Bool, gate: any LiveGate, threads: Int?) async throws {
        (below, path) = (try temporaryDirectory(), try temporaryDirectory())
        tree = try LiveTree(.open(below, O_RDONLY | O_DIRECTORY), gate: gate, numbers: LiveNumbers())
        let options = FuseSession.Options(mountPoint: path, allowOther: true, passthrough: passthrough, flags: [], ioUring: FuseDevice.usesIOUring, threads: threads)
        let session = try FuseSession(fileSystem: tree, options: options, logger: Logger(label: "test"))
        self.session = session
        try session.mount()
        let ready = Semaphore()
        thread = try DedicatedThread.start("server") { try? session.run { ready.signal() } }
        await onThread { ready.wait() }
    }

    func stop() async throws {
        try await onThread { [session] in Result { () throws(MountError) in try unmountWhenIdle(session) } }.get()
        await onThread { [thread] in thread.join() }
        rmdir(path)
        _ = await shell("rm -rf '\(below)'")
    }
}

/// Mounts a new directory, runs `body`, unmounts, also where `body` throws.
func withLiveMount(
    passthrough: Bool = true, gate: any LiveGate = OpenGate(), threads: Int? = nil, _ body: (LiveMount) async throws -> Void
) async throws {
    let mount = try await LiveMount(passthrough: passthrough, gate: gate, threads: threads)
    do {
        try await body(mount)
    } catch {
        _ = await onThread { Result { () throws(MountError) in try mount.session.unmount(lazily: true) } }
        throw error
    }
    try await mount.stop()
}

extension FuseSession {
    /// Requests that came while `body` ran, by kind. FORGET, RELEASE and their like come when the kernel likes, and are left out.
    func counted(_ body: () async throws -> Void) async rethrows -> [String: UInt64] {
        let before = Dictionary(uniqueKeysWithValues: counters.snapshot().map { ($0.name, $0.count) })
        try await body()
        let after = counters.snapshot().map { ($0.name, $0.count - (before[$0.name] ?? 0)) }
        let background: Set = ["FORGET", "BATCH_FORGET", "RELEASE", "RELEASEDIR", "INTERRUPT"]
        return Dictionary(uniqueKeysWithValues: after.filter { $0.1 > 0 && !background.contains($0.0) })
    }
}

/// A gate that stays shut until it is opened.
final class TestGate: LiveGate {
    private let isOpen: Atomic<Bool>
    let waiting = Atomic(0)
    let writers = Atomic(0)

    init(open: Bool) { isOpen = Atomic(open) }

    func open() { isOpen.store(true, ordering: .releasing) }
    func admit() -> Bool { isOpen.load(ordering: .acquiring) }

    func waitForAdmission() async throws(FSError) {
        waiting.add(1, ordering: .relaxed)
        while !admit() {
            do { try await Task.sleep(for: .milliseconds(5)) } catch { throw .interrupted }
        }
    }

    func openedForWriting() { writers.add(1, ordering: .relaxed) }
    func closedAfterWriting() { writers.subtract(1, ordering: .relaxed) }
    var lifetime: Double { .infinity }
}

/// Open, and others may change the directory from the moment when they come.
final class CrowdedGate: LiveGate {
    private let isAlone = Atomic(true)

    func othersCome() { isAlone.store(false, ordering: .releasing) }
    func othersLeave() { isAlone.store(true, ordering: .releasing) }
    func admit() -> Bool { true }
    func waitForAdmission() async throws(FSError) {}
    func openedForWriting() {}
    func closedAfterWriting() {}
    var lifetime: Double { isAlone.load(ordering: .acquiring) ? .infinity : 0 }
}

/// Open, and others may change the directory at any time.
struct OthersGate: LiveGate {
    func admit() -> Bool { true }
    func waitForAdmission() async throws(FSError) {}
    func openedForWriting() {}
    func closedAfterWriting() {}
    var lifetime: Double { 0 }
}
