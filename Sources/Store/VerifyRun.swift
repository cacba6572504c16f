import Dispatch
import Glibc
import LinuxIO
import OCI
import Synchronization
import TreeIndex

/// One verification: walks the store kind by kind, each directory by as many threads as there are cores.
final class VerifyRun: Sendable {
    let store: Store
    private let repair: Bool
    private let progress: @Sendable (VerifyProgress) -> Void
    private let state = Mutex(State())
    private let isCancelled = Atomic(false)

    private struct State {
        var report = VerifyReport()
        var failure: StoreError?
        /// A tree whose index describes the spans of a content key.
        var treeOfContent: [Digest: Digest] = [:]
    }

    init(_ store: Store, repair: Bool, progress: @escaping @Sendable (VerifyProgress) -> Void) {
        self.store = store
        self.repair = repair
        self.progress = progress
    }

    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    func report() throws -> VerifyReport {
        try each(StoreLayout.trees) { name, path, _ throws(StoreError) in try self.checkTree(name, path) }
        for folder in [StoreLayout.blobs, StoreLayout.objects] {
            try each(folder) { name, path, buffer throws(StoreError) in try self.checkHashed(name, path, buffer) }
        }
        try checkSpans()
        try checkReferences()
        return state.withLock { state in
            state.report.findings.sort { $0.path < $1.path }
            return state.report
        }
    }

    // MARK: walking

    /// A buffer for reading, one per thread.
    static let bufferSize = 1 << 20

    /// Runs `check` on every name of a folder.
    func each(
        _ folder: String,
        _ check: @escaping @Sendable (_ name: String, _ path: String, UnsafeMutableRawBufferPointer) throws(StoreError) -> Void
    ) throws {
        let names = try inStore(store.root) { () throws(SystemError) in try store.root.directoryIfPresent(folder)?.list() ?? [] }
        let next = Atomic(0)
        let threads = min(names.count, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferSize, alignment: 4096)
            defer { buffer.deallocate() }
            while !isCancelled.load(ordering: .relaxed) {
                let position = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard position < names.count else { return }
                do throws(StoreError) {
                    try check(names[position], "\(folder)/\(names[position])", buffer)
                } catch {
                    state.withLock { $0.failure = $0.failure ?? error }
                    cancel()
                }
            }
        }
        if let failure = state.withLock({ $0.failure }) { throw failure }
        if isCancelled.load(ordering: .relaxed) { throw CancellationError() }
    }

    /// Opens a regular file. nil where it has vanished, or where it is something else, which is a finding.
    func openFile(_ path: String) throws(StoreError) -> OwnedDescriptor? {
        do throws(SystemError) {
            // A pipe somebody put there must not block us.
            guard let file = try store.root.openIfPresent(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) else { return nil }
            if try file.status().st_mode & S_IFMT == S_IFREG { return file }
        } catch {
            if error.code == ESTALE { return nil }
            guard [ELOOP, ENXIO, EXDEV].contains(error.code) else { throw StoreError(error, in: store.root) }
        }
        try note(.stray, path, expected: "a regular file", found: "something else")
        return nil
    }

    // MARK: what came out

    func count(bytes: UInt64) {
        let checked = state.withLock { state in
            state.report.checked.objects += 1
            state.report.checked.bytes += bytes
            return state.report.checked
        }
        progress(checked)
    }

    func note(_ kind: VerifyFinding.Kind, _ path: String, expected: String, found: String) throws(StoreError) {
        var finding = VerifyFinding(kind: kind, path: path, expected: expected, found: found)
        if kind == .damaged && repair && path != StoreLayout.index {
            finding.isQuarantined = try store.quarantine(path, reason: "expected \(expected), found \(found)")
        }
        state.withLock { state in
            state.report.findingCount += 1
            if kind == .damaged || kind == .dangling { state.report.isSound = false }
            if state.report.findings.count < VerifyReport.findingLimit { state.report.findings.append(finding) }
        }
    }

    func remember(tree: Digest, ofContent key: Digest) { state.withLock { $0.treeOfContent[key] = tree } }

    func tree(ofContent key: Digest) -> Digest? { state.withLock { $0.treeOfContent[key] } }
}
