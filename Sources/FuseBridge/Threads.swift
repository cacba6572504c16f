import CLinux
import Glibc
import LinuxIO

/// A named thread outside Swift's cooperative pool, which has one thread per core and must not be blocked. Signals
/// are left to the rest of the process.
struct FuseThread: Sendable {
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
    static func start(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SystemError) -> FuseThread {
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // A new thread inherits the mask of its maker; so no signal can slip in at its start.
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var handle = pthread_t()
        let body = Unmanaged.passRetained(Body(name: name, run: run))
        let code = pthread_create(&handle, nil, { FuseThread.enter($0) }, body.toOpaque())
        guard code == 0 else {
            body.release()
            throw SystemError("pthread_create", path: name, code: code)
        }
        return FuseThread(handle: handle)
    }

    private static func enter(_ body: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let body = Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue()
        larder_name_thread(body.name)
        body.run()
        return nil
    }

    func join() { pthread_join(handle, nil) }
}

/// A POSIX semaphore that starts at 0.
final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(semaphore, 0, 0) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func signal() { sem_post(semaphore) }

    func wait() { while sem_wait(semaphore) != 0 && errno == EINTR {} }
}
