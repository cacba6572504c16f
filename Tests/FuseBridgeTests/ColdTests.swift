import Glibc
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason))
struct ColdTests {
    /// Waits until cancelled, as a fetch that never ends.
    private static let forEver: @Sendable () async throws(FSError) -> Void = {
        () async throws(FSError) in
        do { try await Task.sleep(for: .seconds(3600)) } catch { throw .interrupted }
    }

    @Test func aSignalEndsAColdWaitAndOthersAreServedMeanwhile() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("hot", "at once")
        for number in 0..<8 { fileSystem.makeCold("slow\(number)", Self.forEver) }
        try await withMount(fileSystem, threads: 2) { mount in
            // More waits than threads. `sh` says that each is on its way, then becomes the process that waits.
            let output = await python(
                """
                import os, signal, subprocess, time, errno
                signal.signal(signal.SIGINT, lambda *a: None)
                def wait_for_lookup(pid):
                    while open(f"/proc/{pid}/wchan").read() not in ("request_wait_answer", "fuse_dev_do_read"):
                        if open(f"/proc/{pid}/stat").read().split(") ")[1][0] in "SD" and "fuse" in open(f"/proc/{pid}/stack").read(): break
                        time.sleep(0.005)
                children = []
                for n in range(8):
                    pid = os.fork()
                    if pid == 0:
                        try: os.stat(f"\(mount.path)/slow{n}")
                        except InterruptedError: os._exit(42)
                        except OSError as e: os._exit(e.errno)
                        os._exit(0)
                    children.append(pid)
                for pid in children: wait_for_lookup(pid)
                print(open("\(mount.path)/hot").read())
                for pid in children: os.kill(pid, signal.SIGTERM)
                print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
                """)
            #expect(output == "at once\n\([Int](repeating: -15, count: 8))\n")
            #expect(mount.session.counters["INTERRUPT"] >= 8)
        }
    }

    @Test func anInterruptedCallReportsEINTR() async throws {
        let fileSystem = MemoryFS()
        let started = Semaphore()
        fileSystem.makeCold("slow") { () async throws(FSError) in
            started.signal()
            try await Self.forEver()
        }
        try await withMount(fileSystem, threads: 2) { mount in
            let path = mount.path + "/slow"
            signal(SIGUSR1) { _ in }
            siginterrupt(SIGUSR1, 1)
            let result = Mutex<Int32>(0)
            let thread = Mutex<pthread_t>(0)
            let ready = Semaphore()
            let running = Task {
                await onThread {
                    thread.withLock { $0 = pthread_self() }
                    var set = sigset_t()
                    sigemptyset(&set)
                    pthread_sigmask(SIG_SETMASK, &set, nil)
                    ready.signal()
                    var status = stat()
                    let failed = stat(path, &status) != 0
                    result.withLock { $0 = failed ? errno : 0 }
                }
            }
            await onThread {
                ready.wait()
                started.wait()
                pthread_kill(thread.withLock { $0 }, SIGUSR1)
            }
            await running.value
            #expect(result.withLock { $0 } == EINTR)
        }
    }

    /// The kernel holds a directory's lock over a lookup unless PARALLEL_DIROPS was agreed: then these two would wait
    /// for each other for ever. The test ends them after a time and fails.
    @Test func twoLookupsInOneDirectoryAreInFlightAtOnce() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("a", "")
        fileSystem.file("b", "")
        let arrived = Mutex(0)
        let meet: @Sendable () async throws(FSError) -> Void = { () async throws(FSError) in
            arrived.withLock { $0 += 1 }
            for _ in 0..<3000 {
                if arrived.withLock({ $0 }) == 2 { return }
                do { try await Task.sleep(for: .milliseconds(2)) } catch { throw .interrupted }
            }
            throw .timedOut
        }
        fileSystem.makeCold("a", meet)
        fileSystem.makeCold("b", meet)
        try await withMount(fileSystem) { mount in
            async let first = shell("stat -c %s \(mount.path)/a")
            async let second = shell("stat -c %s \(mount.path)/b")
            #expect(await first.output == "0\n")
            #expect(await second.output == "0\n")
        }
    }

    @Test func aColdFailureReachesTheCallerAsItsErrno() async throws {
        let fileSystem = MemoryFS()
        fileSystem.makeCold("gone") { () async throws(FSError) in throw .notFound }
        fileSystem.makeCold("broken") { () async throws(FSError) in throw .timedOut }
        try await withMount(fileSystem) { mount in
            let path = mount.path
            let codes = await onThread { ["gone", "broken"].map { code(access(path + "/" + $0, F_OK)) } }
            #expect(codes == [ENOENT, EIO])
        }
    }

    /// A dead connection (here: aborted through sysfs) ends the wait of the caller and of the task.
    @Test func endingTheMountEndsEveryColdWait() async throws {
        let fileSystem = MemoryFS()
        let (begun, ended) = (Semaphore(), Semaphore())
        fileSystem.makeCold("slow") { () async throws(FSError) in
            begun.signal()
            defer { ended.signal() }
            try await Self.forEver()
        }
        let mount = try await Served(fileSystem)
        let path = mount.path
        let device = try #require(MountTableEntry.mounted(on: path)?.device.split(separator: ":").last)
        async let waiting = onThread { code(access(path + "/slow", F_OK)) }
        await onThread { begun.wait() }
        _ = await shell("mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; echo 1 > /sys/fs/fuse/connections/\(device)/abort")
        #expect(await waiting == ECONNABORTED)
        await onThread { ended.wait() }
        try await mount.session.unmountLazilyForTest()
        await mount.ended()
    }
}

extension FuseSession {
    fileprivate func unmountLazilyForTest() async throws {
        try await onThread { Result { () throws(MountError) in try self.unmount(lazily: true) } }.get()
    }
}
