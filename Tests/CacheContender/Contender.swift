import Caches
import Glibc
import LinuxIO
import Logging
import Store

/// Another process that uses caches, for tests: `CacheContender STORE MODE CACHE[,CACHE] [SHARING[+ro]] [ARGUMENT]`. It prints a line for each
/// thing that happens, and SIGTERM makes it release and end.
///
///     hold     acquires; prints `waiting`, `held INSTANCE EPOCH CLEAN|UNCLEAN`, and at the end `released`
///     pass     as hold, but then appends ARGUMENT to the cache's file `order` and ends
///     book     takes the cache's book, as somebody does who is about to draw a ticket
///     inherit  as hold, with a child that has the lock's descriptors and outlives it; prints `child PID` before `held`
///     spin     acquires and releases until it is killed
///     path     opens a file for writing by path, prints `held`, closes it at SIGTERM, prints `resting` when the lease has been given back, and at
///              SIGTERM opens it once more; prints `again` where that needed no wait, or `not again`, and ends as hold does
///     append   ARGUMENT times: acquires, reads the number in `count`, writes the next one, releases
@main
struct Contender {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 4 else { exit(64) }
        // Before any thread: only `sigwait` shall get it.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &signals, nil)

        let store = try Store(at: arguments[1], create: false, logger: Logger(label: "contender") { _ in SwiftLogNoOpLogHandler() })
        let words = (arguments.count > 4 ? arguments[4] : "shared").split(separator: "+")
        let names = arguments[3].split(separator: ",").compactMap { CacheName(String($0)) }
        let requests = names.map { LeaseRequest($0, Sharing(rawValue: String(words[0])), readOnly: words.contains("ro")) }
        let argument = arguments.count > 5 ? arguments[5] : ""
        let library = CacheLibrary(store, command: "contender \(arguments[2])")

        switch arguments[2] {
        case "hold":
            let leases = try acquire(library, requests)
            announce(leases)
            waitForTheEnd(signals)
            try leases.release()
            say("released")
        case "pass":
            let leases = try acquire(library, requests)
            announce(leases)
            try append(argument + "\n", leases.leases[0].directory)
            try leases.release()
        case "book":
            let directory = try Directory("\(arguments[1])/caches/\(names[0].encoded)")
            let lock = try FileLock(waitingFor: "locks/book", in: directory, .exclusive)
            say("held")
            waitForTheEnd(signals)
            _ = consume lock
        case "inherit":
            let leases = try acquire(library, requests)
            for descriptor in leases.lockDescriptors { _ = fcntl(descriptor, F_SETFD, 0) }
            var child: pid_t = 0
            var strings: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
            guard posix_spawnp(&child, "sleep", nil, nil, &strings, environ) == 0 else { exit(71) }
            say("child \(child)")
            announce(leases)
            waitForTheEnd(signals)
            try leases.release()
            say("released")
        case "spin":
            say("held")
            while true {
                let leases = try acquire(library, requests, quietly: true)
                try leases.release()
            }
        case "path":
            let lease = PathLease(names[0], in: library)
            let isHeld = Monitor(false)
            Task.detached {
                while true {
                    try await lease.waitForAdmission()
                    lease.openedForWriting()
                    if lease.isHeld { return isHeld.update { $0 = true } }
                    lease.closedAfterWriting()
                }
            }
            isHeld.wait { $0 ? () : nil }
            say("held")
            waitForTheEnd(signals)
            lease.closedAfterWriting()
            while try library.leases().contains(where: { $0.pid == getpid() }) { usleep(10_000) }
            say("resting")
            waitForTheEnd(signals)
            let isAgain = lease.admit()
            lease.openedForWriting()
            say(isAgain ? "again" : "not again")
            waitForTheEnd(signals)
            lease.close()
            say("released")
        case "append":
            for _ in 0..<(Int(argument) ?? 1) {
                let leases = try acquire(library, requests, quietly: true)
                let file = try leases.leases[0].directory.open("count", O_RDWR | O_CREAT)
                let number = Int(String(decoding: try file.read(20, at: 0), as: UTF8.self)) ?? 0
                try file.write(Array("\(number + 1)".utf8), at: 0)
                try leases.release()
            }
        default: exit(64)
        }
    }

    private static func acquire(_ library: CacheLibrary, _ requests: [LeaseRequest], quietly: Bool = false) throws -> LeaseSet {
        try library.acquireBlocking(requests) { if !quietly { say("waiting \($0.holders.map(\.command).joined(separator: " "))") } }
    }

    private static func announce(_ leases: LeaseSet) {
        for lease in leases.leases {
            say("held \(lease.record.instance ?? -1) \(lease.epoch) \(lease.unclean == nil ? "CLEAN" : "UNCLEAN")")
        }
    }

    private static func append(_ text: String, _ directory: Directory) throws {
        try directory.open("order", O_WRONLY | O_CREAT | O_APPEND).write(Array(text.utf8))
    }

    private static func waitForTheEnd(_ signals: sigset_t) {
        var signals = signals
        var signal: Int32 = 0
        sigwait(&signals, &signal)
    }

    /// At once, whatever becomes of the process.
    private static func say(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = write(1, line, line.count)
    }
}
