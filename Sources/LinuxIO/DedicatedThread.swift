import CLinux
import Glibc

/// A named thread for work that blocks, outside Swift's cooperative pool: that has one thread per core. Signals
/// are left to the rest of the process.
public struct DedicatedThread: Sendable {
    private let handle: pthread_t

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void

        init(name: String, run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Linux shows the first 15 bytes of `name`.
    @discardableResult
    public static func start(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SystemError) -> DedicatedThread {
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // A new thread inherits the mask of its maker; so no signal can slip in at its start.
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var handle = pthread_t()
        let body = Unmanaged.passRetained(Body(name: name, run: run))
        let code = pthread_create(&handle, nil, { DedicatedThread.enter($0) }, body.toOpaque())
        guard code == 0 else {
            body.release()
            throw SystemError("pthread_create", path: name, code: code)
        }
        return DedicatedThread(handle: handle)
    }

    private static func enter(_ body: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let body = Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue()
        larder_name_thread(body.name)
        body.run()
        return nil
    }

    /// Waits for its end.
    public func join() { pthread_join(handle, nil) }
}
