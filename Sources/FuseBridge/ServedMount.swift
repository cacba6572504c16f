import CFuse
import CLinux
import Glibc
import LinuxIO
import Logging
import Synchronization
import VirtualFS

/// A libfuse session on a mounted device, and the threads that answer its requests.
final class ServedMount: @unchecked Sendable {
    /// Microseconds. What is read from the device beside rings is not waited for: many FORGETs come as one request when they are
    /// let gather, and wake this thread once.
    private static let gathering: UInt32 = 2000

    let isPrivileged: Bool
    private let connection: UnsafeMutablePointer<FuseConnection>
    private let session: OpaquePointer

    /// Takes the device over.
    init(
        device: consuming MountedDevice, fileSystem: any FileSystem, patch: InitPatch, options: FuseSession.Options,
        counters: FuseCounters, logger: Logger
    ) throws(MountError) {
        isPrivileged = device.isPrivileged
        connection = .allocate(capacity: 1)
        connection.initialize(
            to: FuseConnection(
                fileSystem: fileSystem, handshake: InitHandshake(patch: patch), counters: counters,
                openFiles: OpenFiles(device: device.descriptor.raw, isWanted: patch.wantsPassthrough, logger: logger),
                requestLimit: options.requestLimit, device: device.descriptor.raw))
        do { session = try Self.makeSession(options.profile, userData: connection) } catch {
            Self.discard(connection)
            throw error
        }
        var callbacks = DeviceIO.callbacks
        guard fuse_session_custom_io(session, &callbacks, device.descriptor.raw) == 0 else {
            fuse_session_destroy(session)
            Self.discard(connection)
            throw .session("libfuse \(String(cString: fuse_pkgversion())) does not take our device")
        }
        // From here on the device belongs to libfuse, which closes it with the session.
        _ = device.take()
    }

    deinit {
        fuse_session_destroy(session)
        Self.discard(connection)
    }

    private static func discard(_ connection: UnsafeMutablePointer<FuseConnection>) {
        connection.deinitialize(count: 1)
        connection.deallocate()
    }

    var handshake: InitHandshake { connection.pointee.handshake }
    var openFiles: OpenFiles { connection.pointee.openFiles }

    private static func makeSession(_ profile: FuseSession.Profile, userData: UnsafeMutableRawPointer) throws(MountError) -> OpaquePointer {
        var operations = FuseAdapter.operations(for: profile)
        let name = strdup("larder")
        defer { free(name) }
        var arguments = [name, nil]
        let session = arguments.withUnsafeMutableBufferPointer { argv in
            var parsed = fuse_args(argc: 1, argv: argv.baseAddress, allocated: 0)
            defer { fuse_opt_free_args(&parsed) }
            return fuse_session_new(&parsed, &operations, MemoryLayout<fuse_lowlevel_ops>.size, userData)
        }
        guard let session else { throw .session("libfuse \(String(cString: fuse_pkgversion())) refused our options") }
        return session
    }

    func forgetNames() { connection.pointee.forgetNames() }

    func forgetListing(of directory: NodeID) { connection.pointee.forgetContent(of: directory) }

    /// Returns when the mount has gone and every request has its answer.
    func serve(threads count: Int, logger: Logger, onReady: () -> Void) throws(MountError) {
        // INIT alone first: it settles how large the threads' buffers must be.
        answerRequests { handshake.isDone }
        guard handshake.isDone else { throw .session("the mount ended before the kernel had agreed to the protocol") }
        var threads: [DedicatedThread] = []
        let rings = connection.pointee.rings
        do throws(SystemError) {
            if handshake.hasRings { try rings.start(ringConnection) }
            // What does not come through rings (FORGET, INTERRUPT) is little.
            for number in 0..<(handshake.hasRings ? 1 : count) {
                threads.append(try .start("larder-device-\(number)") { self.answerRequests { false } })
            }
        } catch {
            guard !threads.isEmpty else {
                rings.finish(.abandoned)
                throw .session("\(error)")
            }
            logger.warning("fewer threads than wanted serve the mount", metadata: ["threads": "\(threads.count)", "reason": "\(error)"])
        }
        onReady()
        for thread in threads { thread.join() }
        rings.finish(.unmounted)
        connection.pointee.cold.drain()
        connection.pointee.workers.drain()
    }

    private var ringConnection: RequestRing.Connection {
        .init(
            device: connection.pointee.device, payloadSize: InitPatch.ringPayload, entryLimit: Int(connection.pointee.requestLimit),
            serve: { self.answer($0) })
    }

    /// A request that came through a ring.
    private func answer(_ message: UnsafeMutableRawBufferPointer) {
        DeviceIO.received(message, on: connection.pointee)
        var buffer = fuse_buf()
        buffer.mem = message.baseAddress
        buffer.size = message.count
        fuse_session_process_buf(session, &buffer)
    }

    /// The loop of one thread: read a request, answer it or hand it to the cold side, read the next.
    private func answerRequests(until isEnough: () -> Bool) {
        // libfuse allocates the memory at the first read, as large as its version and the kernel need it.
        var buffer = fuse_buf()
        defer {
            free(buffer.mem)
            ReplyBuffer.giveBack()
        }
        while fuse_session_exited(session) == 0 && !isEnough() {
            let count = fuse_session_receive_buf(session, &buffer)
            if count == -EINTR || count == -EAGAIN { continue }
            guard count > 0 else { return }
            fuse_session_process_buf(session, &buffer)
            if handshake.hasRings { usleep(Self.gathering) }
        }
    }
}
