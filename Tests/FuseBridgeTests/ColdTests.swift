import Glibc
import LinuxIO
import Synchronization
import Testing
import VirtualFS

@testable import FuseBridge

@Suite(.serialized, .enabled(if: FuseDevice.isUsable, FuseDevice.reason), .timeLimit(.minutes(30)))
struct ColdTests {
    /// Waits until cancelled, as a fetch that never ends.
    private static let forEver: @Sendable () async throws(FSError) -> Void = {
        () async throws(FSError) in
        do { try await Task.sleep(for: .seconds(3600)) } catch { throw .interrupted }
    }

    @Test func aSignalEndsAColdWaitAndOthersAreServedMeanwhile() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("hot", "at once\n")
        fileSystem.file("barrier", "")
        let begun = Mutex(0)
        for number in 0..<8 {
            fileSystem.makeCold("slow\(number)") { () async throws(FSError) in
                begun.withLock { $0 += 1 }
                try await Self.forEver()
            }
        }
        fileSystem.makeCold("barrier") { () async throws(FSError) in
            while begun.withLock({ $0 }) < 8 { await Task.yield() }
        }
        // Four waits for each thread. Without the interrupts a killed process would stay, and `wait` never return.
        try await withMount(fileSystem, threads: 2) { mount in
            let result = await shell(
                """
                cd \(mount.path)
                for i in 0 1 2 3 4 5 6 7; do stat slow$i >/dev/null 2>&1 & pids="$pids $!"; done
                stat -c %n barrier
                cat hot
                kill $pids
                for pid in $pids; do wait $pid; echo $?; done
                """)
            #expect(result.output == "barrier\nat once\n" + String(repeating: "143\n", count: 8))
            #expect(mount.session.counters["INTERRUPT"] >= 8)
        }
    }

    /// Python, in which `told(seconds)` has this process told to end after that time, which it hears and does not do.
    private static let tellings = """
        import ctypes, errno, mmap, os, random, signal, time
        libc = ctypes.CDLL(None, use_errno=True)
        signal.signal(signal.SIGTERM, lambda *_: None)
        def told(seconds):
            child = os.fork()
            if child: return child
            time.sleep(seconds)
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(0)
        """

    @Test func anInterruptedCallReportsEINTR() async throws {
        let fileSystem = MemoryFS()
        fileSystem.makeCold("slow", Self.forEver)
        try await withMount(fileSystem, threads: 2) { mount in
            let output = await python(
                """
                \(Self.tellings)
                told(0.1)
                print(libc.access(b"\(mount.path)/slow", 0), errno.errorcode[ctypes.get_errno()])
                """)
            #expect(output == "-1 EINTR\n")
        }
    }

    /// An interrupt takes another way than what it is about, and may overtake it. One that was lost would leave its caller waiting.
    @Test func noSignalIsLost() async throws {
        let fileSystem = MemoryFS()
        fileSystem.makeCold("slow", Self.forEver)
        try await withMount(fileSystem, threads: 2) { mount in
            let output = await python(
                """
                \(Self.tellings)
                results = set()
                for number in range(200):
                    # One that comes before the call does not end it.
                    children = [told(random.uniform(0, 0.001)), told(0.3)]
                    results.add((libc.access(b"\(mount.path)/slow", 0), errno.errorcode[ctypes.get_errno()]))
                    for child in children: os.kill(child, signal.SIGKILL)
                    for child in children: os.waitpid(child, 0)
                print(*results)
                """)
            #expect(output == "(-1, 'EINTR')\n")
        }
    }

    /// On a disk no signal that a program handles ends its `stat`, its `read` or, worse, a page fault.
    @Test func signalsThatAskForNothingDisturbNoWait() async throws {
        let fileSystem = MemoryFS()
        let pause: @Sendable () async throws(FSError) -> Void = { () async throws(FSError) in
            do { try await Task.sleep(for: .milliseconds(300)) } catch { throw .interrupted }
        }
        fileSystem.file("slow", "")
        fileSystem.makeCold("slow", pause)
        fileSystem.add("data", mode: S_IFREG | 0o644, size: 1 << 20)
        fileSystem.state.withLock { $0.reading = pause }
        try await withMount(fileSystem) { mount in
            let output = await python(
                """
                \(Self.tellings)
                heard = [0]
                def hear(*_): heard[0] += 1
                signal.signal(signal.SIGALRM, hear)
                file = os.open("\(mount.path)/data", os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
                memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
                memory.madvise(mmap.MADV_RANDOM)
                signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
                print(libc.access(b"\(mount.path)/slow", 0))
                print(libc.pread(file, ctypes.create_string_buffer(4096), 4096, 0))
                print(memory[500_000:500_001])
                print(libc.pread(file, ctypes.create_string_buffer(100_000), 100_000, 700_000))
                signal.setitimer(signal.ITIMER_REAL, 0)
                print(heard[0] > 3)
                """)
            #expect(output == "0\n4096\nb'x'\n100000\nTrue\n")
        }
    }

    /// However many requests of a processor wait: its next one is answered.
    @Test func aProcessorsWaitsDoNotDelayItsOtherRequests() async throws {
        let fileSystem = MemoryFS()
        fileSystem.file("hot", "at once\n")
        fileSystem.file("barrier", "")
        let count = 100
        let begun = Mutex(0)
        for number in 0..<count {
            fileSystem.makeCold("slow\(number)") { () async throws(FSError) in
                begun.withLock { $0 += 1 }
                try await Self.forEver()
            }
        }
        fileSystem.makeCold("barrier") { () async throws(FSError) in
            while begun.withLock({ $0 }) < count { await Task.yield() }
        }
        try await withMount(fileSystem) { mount in
            let result = await shell(
                """
                taskset -p -c 0 $$ >/dev/null
                cd \(mount.path)
                for i in $(seq 0 \(count - 1)); do stat slow$i >/dev/null 2>&1 & pids="$pids $!"; done
                stat -c %n barrier
                cat hot
                kill $pids
                wait
                echo ended
                """)
            #expect(result.output == "barrier\nat once\nended\n")
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
            for _ in 0..<150_000 {
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

    /// A connection that is cut through fusectl ends the wait of the caller and of the task, and leaves no dead mount.
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
        let device = try #require(MountTable.mounted(on: path)?.device.split(separator: ":").last)
        async let waiting = onThread { code(access(path + "/slow", F_OK)) }
        await onThread { begun.wait() }
        _ = await shell("mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; echo 1 > /sys/fs/fuse/connections/\(device)/abort")
        #expect(await waiting == ECONNABORTED)
        await onThread { ended.wait() }
        await mount.ended()
        #expect(MountTable.mounted(on: path) == nil)
    }
}
