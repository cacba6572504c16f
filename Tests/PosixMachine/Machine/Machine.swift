import Glibc

/// The command: draws or reads a sequence, compares, and makes a difference small.
struct Machine {
    struct Usage: Error, CustomStringConvertible {
        let description: String
    }

    private static let usage = """
        usage: posix-machine [--seed N] [--ops N] [--without KIND,...] [--no-set-id] [--own-cache] [--replay FILE] [--below DIR] CANDIDATE PLAIN
        Does the same random operations in a fresh directory of CANDIDATE and of PLAIN, with two processes and two users in
        each, and compares every result and, now and then, the trees. As root. PLAIN should be on the disk that CANDIDATE
        keeps its files on. --below is that place itself, to be compared with PLAIN at the end. --own-cache: what is mapped of
        CANDIDATE's files are not the pages of that disk, so that stores into holes may take other blocks.
        Exit status 0: no difference, 1: a difference, which is printed with a short sequence that makes it.
        """

    private var seed = UInt64.random(in: 0...UInt64(UInt32.max))
    private var count = 20_000
    private var left: Set<Kind> = []
    private var setsIDs = true
    private var hasOwnCache = false
    private var replayed: [Operation]?
    private var below: String?
    private let candidate: String
    private let plain: String

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        var places: [String] = []
        while let word = rest.popFirst() {
            guard word.hasPrefix("--") else {
                places.append(word)
                continue
            }
            switch word {
            case "--no-set-id":
                setsIDs = false
                continue
            case "--own-cache":
                hasOwnCache = true
                continue
            default: break
            }
            guard let value = rest.popFirst() else { throw Usage(description: Self.usage) }
            switch word {
            case "--seed": seed = try Self.number(value)
            case "--ops": count = Int(try Self.number(value))
            case "--without":
                for name in value.split(separator: ",") {
                    guard let kind = Kind(rawValue: String(name)) else { throw Usage(description: "no such kind of operation: \(name); there are: \(Kind.allCases.map(\.rawValue).joined(separator: ", "))") }
                    left.insert(kind)
                }
            case "--replay": replayed = try Self.sequence(value)
            case "--below": below = value
            default: throw Usage(description: Self.usage)
            }
        }
        guard places.count == 2 else { throw Usage(description: Self.usage) }
        guard geteuid() == 0 else { throw Usage(description: "must run as root: it changes users and roots") }
        candidate = places[0]
        plain = places[1]
    }

    private static func number(_ word: String) throws -> UInt64 {
        guard let number = UInt64(word) else { throw Usage(description: "\(word): not a number") }
        return number
    }

    func run() throws -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        print("posix-machine: \(candidate) against \(plain), seed \(seed), \(replayed?.count ?? count) operations")
        var generator = Generator(seed: seed, without: left, setsIDs: setsIDs)
        let beginning = Generator.beginning
        var operations: [Operation] = []
        var likely: Set<Int> = []
        let start = ContinuousClock.now
        let fixed = replayed
        let (outcome, done) = try compare("run") { index in
            let next: Operation? = if let fixed { index < fixed.count ? fixed[index] : nil }
                else if index < beginning.count { beginning[index] }
                else { index < count ? generator.next() : nil }
            if let next { operations.append(next) }
            return next
        } succeeded: { operation in
            generator.note(success: operation)
            likely.insert(operations.count - 1)
        }
        let seconds = Double((ContinuousClock.now - start) / .milliseconds(1)) / 1000
        report(done, operations.count, seconds)
        guard case .different(let difference) = outcome else { return 0 }
        print("\nDIFFERENCE at operation \(difference.index) of seed \(seed): \(difference.operation.line)\n\(difference.text)\nbefore it:")
        for line in difference.before { print("  \(line)") }
        try shrink(operations, likely, difference.operation.kind)
        return 1
    }

    /// Another kind of operation that differs is another story.
    private func shrink(_ operations: [Operation], _ likely: Set<Int>, _ kind: Kind) throws {
        var tries = 0
        let shrinking = Shrinking(limit: .seconds(90)) { tried in
            tries += 1
            guard let (outcome, _) = try? compare("try\(tries)", { $0 < tried.count ? tried[$0] : nil }) else { return nil }
            guard case .different(let difference) = outcome, difference.operation.kind == kind else { return nil }
            return difference
        }
        guard let (short, difference) = shrinking.shrink(operations, likely: likely) else {
            print("\nThe same sequence in new directories made no difference: it depends on time or on what was there.")
            return
        }
        guard short.count <= 100 else {
            print("\nIt does not come without \(short.count) of the \(operations.count) operations: it depends on time, or takes more than a minute's tries to cut down.")
            return
        }
        print("\nof \(operations.count) operations these \(short.count) are enough (--replay reads such lines):")
        for operation in short { print(operation.line) }
        print(difference.text)
    }

    private func compare(_ name: String, _ next: (Int) -> Operation?, succeeded: (Operation) -> Void = { _ in }) throws -> (Comparison.Outcome, [Kind: (count: Int, succeeded: Int)]) {
        let places = [candidate, plain].map { "\($0)/posix-machine-\(getpid())-\(name)" }
        defer { for place in places { Self.remove(place) } }
        var comparison = try Comparison(places[0], places[1], hasOwnCache: hasOwnCache)
        let outcome = comparison.run(next, succeeded: succeeded)
        if case .equal = outcome, let below {
            // A third pair of workers looks at both disks' directories only.
            var other = try Comparison(after: comparison, at: "\(below)/posix-machine-\(getpid())-\(name)", places[1])
            return (other.run { _ in nil }, comparison.done)
        }
        return (outcome, comparison.done)
    }

    private func report(_ done: [Kind: (count: Int, succeeded: Int)], _ count: Int, _ seconds: Double) {
        let kinds = done.filter { $0.key != .tree && $0.key != .tick }
        print("\(count) operations of \(kinds.count) kinds in \(seconds) s, \(Int(Double(count) / max(seconds, 0.001))) a second")
        let parts = kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key.rawValue) \($0.value.succeeded)/\($0.value.count)" }
        print("succeeded of tried: \(parts.joined(separator: ", "))")
    }

    private static func remove(_ directory: String) {
        let arguments = ["rm", "-rf", "--one-file-system", directory]
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        if posix_spawnp(&pid, "rm", nil, nil, &words, environ) == 0 { waitpid(pid, nil, 0) }
    }

    private static func sequence(_ path: String) throws -> [Operation] {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { throw Usage(description: "\(path): \(Answer.errorName(errno))") }
        defer { close(file) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = read(file, &buffer, buffer.count), count > 0 { text += buffer.prefix(count) }
        return try text.split(separator: 0x0a).map { line in
            guard let operation = Operation(line: Array(line)) else { throw Usage(description: "\(path): not an operation: \(String(decoding: line, as: UTF8.self))") }
            return operation
        }
    }
}
