import Glibc

/// One sequence on two fresh directories.
struct Comparison {
    struct Difference {
        /// Position in the sequence.
        let index: Int
        let operation: Operation
        let candidate: String
        let plain: String
        /// The operations before it with what both answered.
        let before: [String]
    }

    enum Outcome {
        case equal
        case different(Difference)
    }

    /// How often each kind was done, and how often it did not fail: a kind that always fails proves little.
    private(set) var done: [Kind: (count: Int, succeeded: Int)] = [:]
    private var normaliser: Normaliser
    private var lastSucceeded = false
    private var history: [String] = []
    private let a: Side
    private let b: Side

    /// - Parameter hasOwnCache: see `Normaliser`.
    init(_ candidate: String, _ plain: String, hasOwnCache: Bool) throws(Side.Failed) {
        guard mkdir(candidate, 0o777) == 0, chmod(candidate, 0o777) == 0 else { throw Side.Failed(candidate) }
        guard mkdir(plain, 0o777) == 0, chmod(plain, 0o777) == 0 else { throw Side.Failed(plain) }
        try self.init(looking: candidate, plain, Normaliser(hasOwnCache: hasOwnCache))
    }

    /// Looks at the same plain directory as `other`, and at the candidate's another way.
    init(after other: Comparison, at candidate: String, _ plain: String) throws(Side.Failed) {
        try self.init(looking: candidate, plain, Normaliser(after: other.normaliser))
    }

    private init(looking candidate: String, _ plain: String, _ normaliser: Normaliser) throws(Side.Failed) {
        a = try Side(directory: candidate, alike: candidate)
        b = try Side(directory: plain, alike: candidate)
        self.normaliser = normaliser
    }

    /// Stops at the first difference. `next` gives nil at the end, whereupon both trees are compared.
    mutating func run(_ next: (Int) -> Operation?, succeeded: (Operation) -> Void = { _ in }) -> Outcome {
        var index = 0
        while let operation = next(index) {
            lastSucceeded = false
            if let difference = perform(operation, index) { return .different(difference) }
            if lastSucceeded { succeeded(operation) }
            index += 1
            if index % 512 == 0, let difference = perform(Operation(.tree, worker: index / 512 % 2), index) { return .different(difference) }
        }
        if let difference = perform(Operation(.tree, worker: 0), index) { return .different(difference) }
        return .equal
    }

    private mutating func perform(_ operation: Operation, _ index: Int) -> Difference? {
        if operation.kind == .tick {
            normaliser.tick()
            lastSucceeded = true
            done[.tick, default: (0, 0)].count += 1
            return nil
        }
        a.ask(operation)
        b.ask(operation)
        let answers = (a.answer(operation.worker), b.answer(operation.worker))
        guard let candidate = answers.0, let plain = answers.1 else {
            return difference(operation, index, answers.0 == nil ? "no answer for a minute" : "an answer", answers.1 == nil ? "no answer for a minute" : "an answer")
        }
        let (left, right) = normaliser.pair(candidate, plain, on: a, b)
        done[operation.kind, default: (0, 0)].count += 1
        lastSucceeded = plain.first != UInt8(ascii: "E")
        if lastSucceeded { done[operation.kind, default: (0, 0)].succeeded += 1 }
        if left != right { return difference(operation, index, left, right) }
        if operation.kind != .tree {
            history.append("\(index): \(operation.line)  ->  \(right)")
            if history.count > 40 { history.removeFirst(20) }
        }
        return nil
    }

    private func difference(_ operation: Operation, _ index: Int, _ candidate: String, _ plain: String) -> Difference {
        Difference(index: index, operation: operation, candidate: candidate, plain: plain, before: history.suffix(20).map { String($0.prefix(300)) })
    }
}

extension Comparison.Difference {
    /// Of two trees only the lines that differ.
    var text: String {
        guard operation.kind == .tree else { return "  candidate  \(candidate)\n  plain      \(plain)" }
        let left = candidate.split(separator: "\n"), right = plain.split(separator: "\n")
        let onlyLeft = Set(left).subtracting(right), onlyRight = Set(right).subtracting(left)
        return (left.filter(onlyLeft.contains).prefix(20).map { "  candidate  \($0)" } + right.filter(onlyRight.contains).prefix(20).map { "  plain      \($0)" })
            .joined(separator: "\n")
    }
}
