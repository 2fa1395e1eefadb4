// What the tours say. Each step shows a state, as a link (see state.js). needs: what a page must have, see `Laboratory.can`.

const SIZES =
  "shapes=square_350_400_230_2f6fe0_20~circle_780_250_40_e8423c_0~star_760_760_70_f2d43a_10~triangle_450_850_45_36b37e_0";
const TWINS = "shapes=circle_330_350_150_2f6fe0_0~circle_670_650_140_e8423c_0";
const OVERLAP = "shapes=star_450_450_200_f2d43a_10~circle_600_600_110_2f6fe0_0";
const knowsShapes = ({ kinds }) => ["circle", "square", "triangle", "star", "cross"].every((kind) => kinds.includes(kind));
const hasModels = ({ kindsOfModels }, ...kinds) => kinds.every((kind) => kindsOfModels[kind] !== undefined);
const hasLevels = ({ levels, layers, encoderLayers }) => levels >= 3 && layers >= 3 && encoderLayers >= 2;

export const TOURS = [
  {
    name: "levels",
    title: "Why several levels",
    needs: (can) => knowsShapes(can) && hasLevels(can),
    steps: [
      {
        link: `${SIZES}&held=1`,
        say:
          "The small circle is held, and its query takes most of its weight from level 0, whose pixels are the smallest: " +
          "the captions below the picture say how much.",
      },
      {
        link: `${SIZES}&held=0`,
        say:
          "The large square is held now. Its query takes more from levels 1 and 2, where one pixel has seen a larger part " +
          "of the image. One query reads all levels at once; nothing decides beforehand which one an object belongs to.",
      },
      {
        link: `${SIZES}&held=1&cuts=d0l0.d1l0.d2l0`,
        say:
          "Level 0 is cut out of the decoder. The small shapes are lost, the large one is still found: what tells a " +
          "small circle from a small star is on the fine level alone.",
      },
      {
        link: `${SIZES}&held=0&cuts=d0l1.d1l1.d2l1.d0l2.d1l2.d2l2`,
        say:
          "Levels 1 and 2 are cut instead. All are still found, but the large square less surely, and with a looser box. " +
          "Make it larger, with + or at its corner, and see what happens to its score.",
      },
    ],
  },
  {
    name: "refinement",
    title: "Why the gradient is blocked",
    needs: (can) => knowsShapes(can) && hasLevels(can) && can.refines,
    steps: [
      {
        link: `${OVERLAP}&held=0&layer=1`,
        say:
          "A star, partly hidden. Below are the boxes of one query: each layer starts from the box of the layer before and " +
          "corrects it. This is layer 1; its points lie around the box that it was given.",
      },
      {
        link: `${OVERLAP}&held=0&layer=3`,
        say:
          "Layer 3 reads around the box of layer 2. In training, that box comes to it as plain numbers: the gradient of a " +
          "layer's loss stops there. So every layer learns one thing, to correct the box that it gets, and no layer is " +
          "pulled to make its box convenient for the next one.",
      },
      {
        link: `${OVERLAP}&held=0&cuts=d1`,
        say:
          "That is why a layer can be cut: layer 2 passes on what it got, and layer 3 corrects the box of layer 1 instead. " +
          "IoU and score fall only a little.",
      },
      {
        link: `${OVERLAP}&held=0&cuts=d0.d1`,
        say: "Two layers are cut. How much can the last one do alone? Drag the star and compare the boxes side by side.",
      },
    ],
  },
  {
    name: "proposal",
    title: "What a proposal is",
    needs: (can) => knowsShapes(can) && hasLevels(can) && can.twoStage,
    steps: [
      {
        link: "held=2",
        say:
          "Every pixel of every level proposes a box, and the best become queries. The first picture below shows the " +
          "proposal from which the triangle's query began, and which pixel made it.",
      },
      {
        link: `${SIZES}&held=1`,
        say: "A small object is proposed by a pixel of level 0, where proposals begin with a side of 5 % of the image.",
      },
      {
        link: `${SIZES}&held=0`,
        say:
          "A large one is proposed by a coarser level, where they begin larger. Resize the square and watch the title of " +
          "the first picture: the level changes.",
      },
      {
        link: "cuts=e0.e1&held=2",
        say:
          "Without the encoder, pixels know only what the backbone saw around them. They propose less surely, and " +
          "the decoder has more to mend.",
      },
    ],
  },
  {
    name: "outside",
    title: "Attention that reads nothing",
    needs: (can) => knowsShapes(can) && hasLevels(can),
    steps: [
      {
        link: "pointer=pixel&pin=pixel_0_500_500",
        say:
          "A pixel of the encoder is pinned, and nearly all of its weight lies on points outside the image, which read " +
          "zeros. Hollow circles at the edge are such points; the pictures of the levels show where they are.",
      },
      {
        link: "pointer=pixel&pin=pixel_0_310_340&encoder=2",
        say:
          "The weights of a head add up to 1, so it must spend all of its attention somewhere. Where a pixel wants to " +
          "add little to itself, its heads point outside. Move the pixel with the arrow keys.",
      },
      {
        link: "cuts=outside",
        say:
          "Points outside are cut, and their weight goes to the points inside. The model reads more of the image than " +
          "before and sees worse: AP falls, and the scores with it.",
      },
      {
        link: "cuts=outside&beside=uncut",
        say: "The same scene beside it, uncut. Drag a shape to the edge, where the decoder's points leave the image, too.",
      },
    ],
  },
  {
    name: "duplicates",
    title: "One box for each object",
    needs: (can) => knowsShapes(can) && hasLevels(can),
    steps: [
      {
        link: `${TWINS}&score=10`,
        say:
          "Two circles and two boxes, at a smallest score of 0.10. Nothing was suppressed afterwards: in training one query " +
          "is matched to each object, and the others learn to stay silent.",
      },
      {
        link: `${TWINS}&score=10&cuts=d0`,
        say:
          "How do they know who speaks? The queries attend to each other in every layer. With the first decoder layer cut, " +
          "several queries answer for one circle.",
      },
      {
        link: `${TWINS}&score=10&cuts=d0.d1`,
        say: "With two layers cut there are more of them, and all are unsure: AP falls, as each further box counts as wrong.",
      },
    ],
  },
  {
    name: "limits",
    title: "What it never saw",
    needs: (can) => knowsShapes(can) && hasLevels(can),
    steps: [
      {
        link: "shapes=star_500_500_240_f2d43a_10",
        say: "A star nearly as large as the largest that the model was trained on, 64 pixels. It is found, surely and well.",
      },
      {
        link: "shapes=triangle_500_500_450_f2d43a_30",
        say:
          "A triangle that is far larger. No proposal fits it, and no query is sure of it, though a triangle has the same " +
          "form at every size: the model learned sizes, too.",
      },
      {
        link: "shapes=circle_500_500_120_e8423c_0~cross_500_500_60_f4f4f4_0",
        say:
          "A cross on a circle: both are found if their boxes differ enough. Make the cross larger until one of them is " +
          "lost, or drop in a photograph: what does the model take for a shape?",
      },
    ],
  },
  {
    name: "training",
    title: "How it came to see",
    needs: (can) => knowsShapes(can) && hasLevels(can) && ["epoch-1", "epoch-4", "epoch-9"].every((id) => can.models.includes(id)),
    steps: [
      {
        link: "model=epoch-1&score=10",
        say:
          "After one epoch, boxes are at about the right places, but nearly every query claims some object, of any kind: " +
          "where things are is learned before what they are.",
      },
      {
        link: "model=epoch-4",
        say:
          "After four epochs kind and box are right, but several queries answer for each object, none of them surely: to " +
          "agree on one takes longest.",
      },
      { link: "model=epoch-9", say: "After nine there are few doubles left, and the scores have grown." },
      {
        link: "model=epoch-1&pointer=pixel&pin=pixel_0_500_500",
        say:
          "An early pixel of the encoder: much of its weight is inside the image. Move the slider of the training to the " +
          "end and watch the points leave.",
      },
      {
        link: "model=epoch-4&cuts=outside",
        say:
          "Points outside the image are cut after four epochs: AP falls by little. Go on to the end of the training: there " +
          "the same cut costs half of it. The model has come to rely on reading nothing.",
      },
    ],
  },
  {
    name: "dense",
    title: "Dense attention beside deformable attention",
    needs: (can) => knowsShapes(can) && hasModels(can, "dense", "plain"),
    steps: [
      {
        link: "model=@plain&beside=@dense",
        say:
          "One scene and two detectors. The first reads a few points with each query; the one beside it is DETR, whose " +
          "queries read every pixel of every level. It has fewer layers: with as many as the first it did not begin to " +
          "learn. Drag a shape, and compare the boxes and the AP below them.",
      },
      {
        link: "model=@dense&pointer=pixel&pin=pixel_0_310_340",
        say:
          "A pixel of DETR's encoder. It has a weight for each pixel of each level and none outside the image; the larger " +
          "and lighter a circle, the more is read there. The captions of the levels say where most of it goes.",
      },
      {
        link: "model=@plain&pointer=pixel&pin=pixel_0_310_340",
        say:
          "The same pixel with deformable attention: each head reads a few points on each level, at places that it chooses " +
          "itself, between the pixels and outside the image, too. Twice the pixels would cost DETR's encoder four times " +
          "the weights; here they cost twice.",
      },
      {
        link: `${SIZES}&model=@dense&held=1`,
        say:
          "An object query of DETR, and all that it reads to see the small circle. Is it the circle's edge, or all of it? " +
          "Move the circle and watch what follows it; then choose the other model under “Looking”.",
      },
      {
        link: `${SIZES}&model=@plain&beside=@dense&held=1`,
        say:
          "The paper says that DETR is weak on small objects. Make the circle smaller, with − or at its corner: which of " +
          "the two loses it first? One scene proves nothing; lesson 11 counts over many.",
      },
    ],
  },
  {
    name: "refined",
    title: "Refined boxes beside plain ones",
    needs: (can) => knowsShapes(can) && hasModels(can, "plain", "refined"),
    steps: [
      {
        link: "model=@refined&beside=@plain&held=2",
        say:
          "Two detectors with learned queries. In the first, each decoder layer corrects the box of the layer before; in " +
          "the one beside it, each layer tells a box anew. Drag a shape, and compare the boxes.",
      },
      {
        link: "model=@refined&held=2",
        say:
          "The refined one: below the levels, the boxes of one query, each with its IoU. From layer 2 on it reads around " +
          "the box that it was given, and its points spread with the size of that box: make the triangle larger.",
      },
      {
        link: "model=@plain&held=2",
        say:
          "The plain one: the reference point is learned, the same for every image, and stays where it is through all " +
          "layers. The points lie around it, as many pixels of a level away as the query says. Below: layers 2 and 3 make it " +
          "surer, and its box hardly better.",
      },
      {
        link: "model=@refined&beside=uncut&cuts=d1&held=2",
        say:
          "Layer 2 of the decoder is cut, and the uncut detector lies beside it. Choose the plain model under “Looking”: " +
          "the cut stays. Which of them needs its layer 2 more?",
      },
      {
        link: `${OVERLAP}&model=@refined&beside=@plain&held=0`,
        say: "A hard scene: one shape over another. Move the circle over the star, until one of the detectors loses it.",
      },
    ],
  },
];
