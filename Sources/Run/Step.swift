/// Where a child keeps the result of one system call for those that follow.
struct Slot: Sendable, Hashable {
    let number: Int8
}

/// One system call that a child makes between fork and exec. A process with threads may do nothing else there; so everything
/// is decided before, and a child is a list of these.
struct Step: Sendable, Hashable {
    enum Argument: Sendable, Hashable {
        case number(Int)
        /// Gets a NUL at its end.
        case text([UInt8])
        case bytes([UInt8])
        case slot(Slot)
    }

    let call: Int
    var arguments: [Argument]
    var result: Slot?
    /// Values of errno that are as good as success; two at most.
    var accepted: [Int32]
    /// What it is for, as the beginning of an error message.
    let purpose: String
}

/// A child's system calls in their order.
struct StepProgram: Sendable {
    private(set) var steps: [Step] = []
    private var slotCount = 0
    /// Put at the steps that are added from now on.
    var purpose = "cannot start the command"

    /// As many as `larder_slot_count`.
    static let slotLimit = 120

    /// - Throws: `invalid` where too many mounts are asked for.
    mutating func slot() throws(RunError) -> Slot {
        guard slotCount < Self.slotLimit else { throw .invalid("too many mounts for one command: use fewer than \(Self.slotLimit / 2)") }
        defer { slotCount += 1 }
        return Slot(number: Int8(slotCount))
    }

    mutating func add(_ call: Int, _ arguments: Step.Argument..., into result: Slot? = nil, accepting accepted: [Int32] = []) {
        steps.append(Step(call: call, arguments: arguments, result: result, accepted: accepted, purpose: purpose))
    }
}

extension Step.Argument {
    static func text(_ text: String) -> Step.Argument { .text(Array(text.utf8)) }

    /// The bytes of a C structure without pointers.
    static func structure<Value: BitwiseCopyable>(_ value: Value) -> Step.Argument { .bytes(withUnsafeBytes(of: value) { Array($0) }) }
}
