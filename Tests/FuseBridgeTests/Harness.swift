import Glibc
import LinuxIO
import Logging
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

/// Mounting needs the device and root. Where CI is set, their absence is a failure, see `DeviceTests`.
enum FuseDevice {
    static let isUsable = geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0
    static let reason: Comment = "SKIPPED: /dev/fuse or root is missing, so NOTHING about real mounts has been tested"

    /// The mode that udev gives the device everywhere; a bare container or VM may lack it.
    static let isForUsers: Bool = {
        var status = stat()
        return stat("/dev/fuse", &status) == 0 && status.st_mode & 0o006 == 0o006
    }()
    static let usersReason: Comment = "SKIPPED: /dev/fuse is for root only (chmod 666), so mounting as a user has NOT been tested"
}

extension FuseDevice {
    /// LARDER_IO_URING=false has all tests read requests from the device instead.
    static let usesIOUring: Bool = {
        if case .here = FuseSession.ioUringSupport { getenv("LARDER_IO_URING").map { String(cString: $0) } != "false" } else { false }
    }()
}

@Suite struct DeviceTests {
    /// Both ways of getting requests are tested where there are two.
    @Test func ringsAreOnWhereTheKernelHasThem() {
        guard getenv("CI") != nil, geteuid() == 0, access(FuseSession.ioUringParameter, W_OK) == 0 else { return }
        if case .here = FuseSession.ioUringSupport { return }
        Issue.record("FUSE over io_uring is \(FuseSession.ioUringSupport): mount-scripts/test turns it on")
    }

    @Test func thereIsADeviceWhereTheTestsMustNotBeSkipped() {
        guard getenv("CI") != nil else { return }
        #expect(FuseDevice.isUsable)
    }
}

/// Runs what blocks on a thread of its own: system calls on our own mount would use up the cooperative pool that the
/// cold side needs to answer them.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        do {
            try DedicatedThread.start("test") {
                // Children inherit the mask, and some are to be killed.
                var none = sigset_t()
                sigemptyset(&none)
                pthread_sigmask(SIG_SETMASK, &none, nil)
                continuation.resume(returning: body())
            }
        } catch {
            fatalError("\(error)")
        }
    }
}

/// The standard output of a shell command, and its exit status.
func shell(_ command: String) async -> (output: String, status: Int32) {
    await onThread {
        guard let stream = popen(command, "r") else { return ("", -1) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&chunk, 1, chunk.count, stream)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return (String(decoding: bytes, as: UTF8.self), pclose(stream) >> 8)
    }
}

/// The standard output of a Python program, for what Swift's Glibc module does not show.
func python(_ program: String) async -> String {
    await shell("python3 - <<'PROGRAM'\n\(program)\nPROGRAM").output
}

func temporaryDirectory() throws -> String {
    var template = Array("/tmp/larder-fuse-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// errno of a system call, 0 where it succeeded.
func code(_ result: some FixedWidthInteger) -> Int32 { result < 0 ? errno : 0 }

/// A `MemoryFS` on a real mount point.
struct Served: Sendable {
    let fileSystem: MemoryFS
    let session: FuseSession
    let path: String
    private let thread: DedicatedThread

    init(
        _ fileSystem: MemoryFS, at path: String? = nil, profile: FuseSession.Profile = .full, threads: Int? = nil,
        passthrough: Bool = true, flags: FuseSession.MountFlags = [.readOnly, .noSetuid, .noDevices]
    ) async throws {
        let path = try path ?? temporaryDirectory()
        self.path = path
        self.fileSystem = fileSystem
        let options = FuseSession.Options(
            mountPoint: path, profile: profile, allowOther: true, passthrough: passthrough, flags: flags, ioUring: FuseDevice.usesIOUring, threads: threads)
        let session = try FuseSession(fileSystem: fileSystem, options: options, logger: Logger(label: "test"))
        self.session = session
        try session.mount()
        let ready = Semaphore()
        thread = try DedicatedThread.start("server") { try? session.run { ready.signal() } }
        await onThread { ready.wait() }
    }

    /// Unmounts, waits for the session's end, and removes the directory.
    func stop() async throws {
        try await onThread { [session] in Result { () throws(MountError) in try unmountWhenIdle(session) } }.get()
        await ended()
    }

    func ended() async {
        await onThread { [thread] in thread.join() }
        rmdir(path)
    }

    func counted(_ body: () async throws -> Void) async rethrows -> [String: UInt64] {
        let before = Dictionary(uniqueKeysWithValues: session.counters.snapshot().map { ($0.name, $0.count) })
        try await body()
        let after = session.counters.snapshot().map { ($0.name, $0.count - (before[$0.name] ?? 0)) }
        return Dictionary(uniqueKeysWithValues: after.filter { $0.1 > 0 })
    }
}

/// The fewest requests that a few runs of the same work took. What the kernel keeps it may also drop, where other tests want the
/// memory; what it never keeps is asked for in every run.
func quietest(_ run: () async throws -> [String: UInt64]) async rethrows -> [String: UInt64] {
    var fewest = try await run()
    for _ in 0..<9 where !fewest.isEmpty {
        let requests = try await run()
        if requests.values.reduce(0, +) < fewest.values.reduce(0, +) { fewest = requests }
    }
    return fewest
}

/// A child that a test beside this one is starting holds copies of all descriptors until its exec, so a mount may be busy
/// for a moment.
func unmountWhenIdle(_ session: FuseSession) throws(MountError) {
    var patience = 2000
    while true {
        do throws(MountError) {
            return try session.unmount()
        } catch {
            guard case .busy = error, patience > 0 else { throw error }
            patience -= 1
            usleep(50_000)
        }
    }
}

/// Mounts, runs `body`, unmounts, also where `body` throws.
func withMount(
    _ fileSystem: MemoryFS, profile: FuseSession.Profile = .full, threads: Int? = nil, passthrough: Bool = true,
    flags: FuseSession.MountFlags = [.readOnly, .noSetuid, .noDevices], _ body: (Served) async throws -> Void
) async throws {
    let served = try await Served(fileSystem, profile: profile, threads: threads, passthrough: passthrough, flags: flags)
    do {
        try await body(served)
    } catch {
        // Not waited for: what the failed test has left open keeps the mount alive.
        _ = await onThread { Result { () throws(MountError) in try served.session.unmount(lazily: true) } }
        throw error
    }
    try await served.stop()
}
