import Glibc
import TestSupport

/// A `larder mount --foreground` of its own: store, mount point, home. However a test ends, the mount is gone after it.
final class MountedLarder {
    let scratch: TemporaryDirectory
    let store: String
    let mountPoint: String
    let home: String
    private(set) var daemon: Program?
    private let options: [String]
    let environment: [String: String]

    /// `store` is kept by its caller where given, else it is as short-lived as this value.
    init(_ options: [String] = [], store: String? = nil, environment: [String: String] = [:]) throws {
        scratch = try TemporaryDirectory()
        self.store = try store ?? scratch.subdirectory("store")
        mountPoint = try scratch.subdirectory("mount")
        home = try scratch.subdirectory("home")
        self.options = options
        self.environment = LarderCommand.environment(home: home, environment)
        try start()
    }

    deinit { stop() }

    func start() throws {
        let words = [LarderCommand.binary, "mount", "--foreground", "--store", store] + options + [mountPoint]
        let daemon = try Program(words, environment: environment)
        self.daemon = daemon
        guard Wait.until(120, { isMounted || !daemon.isRunning }), isMounted else {
            throw Program.Failure(description: "\(daemon.name): no mount\n\(daemon.errorsSoFar.suffix(4000))")
        }
    }

    /// As `larder umount` and Ctrl-C end it.
    func stop() {
        guard let daemon else { return }
        daemon.signal(SIGTERM)
        if !Wait.until(60, { !daemon.isRunning }) { daemon.signal(SIGKILL) }
        _ = Wait.until(5) { !daemon.isRunning }
        detach()
        self.daemon = nil
    }

    /// As a crash or the OOM killer ends it.
    func kill() {
        guard let daemon else { return }
        daemon.signal(SIGKILL)
        _ = Wait.until(10) { !daemon.isRunning }
        detach()
        self.daemon = nil
    }

    func restart() throws {
        stop()
        try start()
    }

    private func detach() {
        // umount2 fails where nothing is mounted, which is what should be.
        umount2(mountPoint, Int32(MNT_DETACH))
    }

    /// Asks the kernel's table and never the mount itself, which might not answer.
    var isMounted: Bool {
        let table = (try? Files.read("/proc/self/mounts")) ?? ""
        return table.split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count > 2 && fields[1] == mountPoint && fields[2].hasPrefix("fuse")
        }
    }

    /// What the daemon logged.
    var log: String { daemon?.errorsSoFar ?? "" }

    func image(_ reference: String) -> String { "\(mountPoint)/images/\(reference)" }
    func rootfs(_ reference: String) -> String { "\(image(reference))/rootfs" }

    /// `larder COMMAND ...` on the same store.
    @discardableResult
    func larder(_ words: String..., limit: Double = 120) throws -> Program.Output {
        try Program.run([LarderCommand.binary] + words + ["--store", store], environment: environment, limit: limit)
    }

    /// Compressed bytes of layers that the daemon has fetched for these causes.
    func fetched(_ causes: String...) throws -> Int {
        try causes.reduce(0) { sum, cause in sum + (try metric("larder_fetch_bytes_total{cause=\"\(cause)\"}")) }
    }

    /// FUSE requests of this operation that came since the mount began.
    func requests(_ operation: String) throws -> Int { try metric("larder_fuse_requests_total{operation=\"\(operation)\"}") }

    /// 0 for what is not there.
    private func metric(_ sample: String) throws -> Int {
        let line = try Files.read("\(mountPoint)/metrics").split(separator: "\n").first { $0.hasPrefix(sample + " ") }
        return line?.split(separator: " ").last.flatMap { Double($0) }.map { Int($0) } ?? 0
    }

    /// Peak resident memory of the daemon in bytes.
    var peakMemory: Int {
        guard let daemon, let status = try? Files.read("/proc/\(daemon.pid)/status") else { return 0 }
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let number = line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
        return (number.flatMap { Int($0) } ?? 0) * 1024
    }
}
